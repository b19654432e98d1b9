"""Tasks, their episodes and rollouts: each promise fails for one that breaks it, with a sentence that says so."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from whet.contracts import ContractError, check_rollout, check_task
from whet.randomness import stream
from whet.rollouts.converse import Converse
from whet.rollouts.sample import Sample
from whet.tasks.guess import Guess
from whet.tasks.mixture import Mixture
from whet.tasks.rows import Rows
from whet.types import Decoding, Group, Problem, Step, Turn

# --- tasks


@dataclass(frozen=True)
class Sound:
    """Twenty problems of each split, each a question of its own."""

    def size(self, split: str) -> int | None:
        return 20

    def problem(self, split: str, i: int) -> Problem:
        if not 0 <= i < 20:
            raise ValueError(f"there is no problem {i}")
        return Problem(f"{split}/{i}", f"say {i} in {split}", str(i))


class Endless(Sound):
    def size(self, split: str) -> int | None:
        return None

    def problem(self, split: str, i: int) -> Problem:
        return Problem(f"{split}/{i}", f"say {i} in {split}", str(i))


class DrawsAnew(Endless):
    def problem(self, split: str, i: int) -> Problem:
        return replace(super().problem(split, i), answer=str(random.random()))


class SeedsTheWorld(Endless):
    def problem(self, split: str, i: int) -> Problem:
        random.seed(i)
        return replace(super().problem(split, i), answer=str(random.random()))


counted: dict[str, int] = {}


class CountsCalls(Endless):
    def problem(self, split: str, i: int) -> Problem:
        counted[split] = counted.get(split, 0) + 1
        return replace(super().problem(split, i), answer=str(counted[split]))


class KnowsItself(Endless):
    def problem(self, split: str, i: int) -> Problem:
        return replace(super().problem(split, i), answer=str(id(self)))


class ShortArm(Endless):
    def problem(self, split: str, i: int) -> Problem:
        if i > 5000:
            raise OverflowError("too far")
        return super().problem(split, i)


class GoesOn(Sound):
    def problem(self, split: str, i: int) -> Problem:
        return Sound.problem(self, split, i % 20)


class Empty(Sound):
    def size(self, split: str) -> int | None:
        return 0


class HalfSize(Sound):
    def size(self, split: str) -> Any:
        return 2.5


class NoSuchSplit(Sound):
    def size(self, split: str) -> int | None:
        return {"train": 20}[split]


class OneId(Endless):
    def problem(self, split: str, i: int) -> Problem:
        return replace(super().problem(split, i), id="p")


class NumberedId(Endless):
    def problem(self, split: str, i: int) -> Problem:
        return replace(super().problem(split, i), id=i)  # type: ignore[arg-type]


class Leaks(Endless):
    def problem(self, split: str, i: int) -> Problem:
        return replace(super().problem(split, i), prompt=f"say {i}")


class OddPrompt(Endless):
    prompt: Any = None

    def problem(self, split: str, i: int) -> Problem:
        return replace(super().problem(split, i), prompt=self.prompt)


class NoContent(OddPrompt):
    prompt: Any = ({"role": "user", "text": "say it"},)


class NumberPrompt(OddPrompt):
    prompt: Any = ("say", 3)


class NothingAsked(OddPrompt):
    prompt: Any = ()


class GivesADict(Endless):
    def problem(self, split: str, i: int) -> Any:
        return {"prompt": "?"}


@pytest.mark.parametrize(
    ("task", "sentence"),
    [
        (DrawsAnew(), "global random generator"),
        (SeedsTheWorld(), "global random generator"),
        (CountsCalls(), "asked again"),
        (KnowsItself(), "a copy of it"),
        (ShortArm(), "raised OverflowError: too far"),
        (GoesOn(), "yet there is a problem 20"),
        (Empty(), "has no problems"),
        (HalfSize(), "must be a number of problems"),
        (NoSuchSplit(), r"size\('test'\) raised KeyError"),
        (OneId(), "stands for two problems"),
        (NumberedId(), "an id is a text"),
        (Leaks(), "hold out by question"),
        (NoContent(), "a message is"),
        (NumberPrompt(), "no text and no Media"),
        (NothingAsked(), "must be text, messages"),
        (GivesADict(), "not a Problem"),
    ],
)
def test_a_broken_task_is_told_what_it_breaks(task: Any, sentence: str) -> None:
    with pytest.raises(ContractError, match=sentence):
        check_task(task)


def test_a_task_that_can_not_be_pickled_is_told_so() -> None:
    @dataclass(frozen=True)
    class Local(Sound):
        pass

    with pytest.raises(ContractError, match="top level of a module"):
        check_task(Local())


def test_sound_tasks_pass(tmp_path: Path) -> None:
    check_task(Sound())
    check_task(Endless())
    file = tmp_path / "rows.csv"
    file.write_text("question,answer\n" + "".join(f"{i} + 1?,{i + 1}\n" for i in range(40)))
    check_task(Rows(str(file)))
    check_task(Mixture({"guess": Guess(), "rows": Rows(str(file))}))
    with pytest.raises(ContractError, match="of 'all' asks what"):  # "all" holds the held-out ones, too
        check_task(Rows(str(file)), splits=("test", "all"))


# --- episodes


@dataclass(frozen=True)
class Counting(Endless):
    """Say `end` words; the game of `kind` breaks one promise."""

    kind: str = "Game"
    shared: dict[str, int] = field(default_factory=dict, compare=False)

    def episode(self, problem: Problem) -> Any:
        if self.kind == "Same":
            return SAME
        return KINDS[self.kind](problem, 3, self.shared)


class Game:
    def __init__(self, problem: Problem, left: int, shared: dict[str, int]) -> None:
        self.problem, self.left, self.shared = problem, left, shared

    async def step(self, action: str) -> Any:
        if self.left < 1:
            raise RuntimeError("this game is over")
        self.left -= 1
        return Step(f"{self.left} left", 0.0, "" if self.left else "done")

    def fork(self) -> Any:
        return type(self)(self.problem, self.left, self.shared)


class Hears(Game):
    async def step(self, action: str) -> Any:
        self.shared["calls"] = self.shared.get("calls", 0) + 1
        return replace(await super().step(action), content=str(self.shared["calls"]))


class Rolls(Game):
    async def step(self, action: str) -> Any:
        return replace(await super().step(action), reward=random.random())


class Reads(Game):
    async def step(self, action: str) -> Any:
        return replace(await super().step(action), reward=float(int(action)))


class Infinite(Game):
    async def step(self, action: str) -> Any:
        return replace(await super().step(action), reward=float("inf"))


class Texts(Game):
    async def step(self, action: str) -> Any:
        return (await super().step(action)).content


class OddEnd(Game):
    async def step(self, action: str) -> Any:
        return replace(await super().step(action), end="won")


class NoEnd(Game):
    async def step(self, action: str) -> Any:
        self.left = max(self.left, 1)
        return await super().step(action)


class ForksItself(Game):
    def fork(self) -> Any:
        return self


class ForksAnew(Game):
    def fork(self) -> Any:
        return type(self)(self.problem, 3, self.shared)


class NoFork(Game):
    def fork(self) -> Any:
        raise NotImplementedError


class Writes(Game):
    async def step(self, action: str) -> Any:
        self.problem.info["seen"] = action  # type: ignore[index]
        return await super().step(action)


KINDS = {kind.__name__: kind for kind in (Game, Hears, Rolls, Reads, Infinite, Texts, OddEnd, NoEnd, NoFork, Writes)}
KINDS |= {kind.__name__: kind for kind in (ForksItself, ForksAnew)}
SAME = Game(Problem("p", "?"), 3, {})


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("Same", "a game of its own"),
        ("Hears", "played twice with the same actions"),
        ("Rolls", "played twice with the same actions"),
        ("Reads", "a model may say anything"),
        ("Infinite", "gave the reward inf"),
        ("Texts", "must return a Step, got str"),
        ("OddEnd", "ended in 'won'"),
        ("NoEnd", "goes on after its end"),
        ("ForksItself", "change each other"),
        ("ForksAnew", "change each other"),
        ("Writes", "changes the problem"),
    ],
)
def test_a_broken_episode_is_told_what_it_breaks(kind: str, sentence: str) -> None:
    with pytest.raises(ContractError, match=sentence):
        check_task(Counting(kind))


def test_sound_episodes_pass_with_forks_or_without() -> None:
    check_task(Counting())
    check_task(Counting("NoFork"))
    check_task(Guess())


# --- rollouts

SHORT = Decoding(max_tokens=8)


async def attempts(models: Any, problem: Problem, seed: int, count: int = 3, decoding: Decoding = SHORT) -> list[Any]:
    policy = models["policy"]
    opened = policy.open(problem)
    return [await policy.extend(opened, decoding, stream(seed, "attempt", g)) for g in range(count)]


async def sound(models: Any, problem: Problem, seed: int) -> list[Group]:
    return [Group(problem, tuple(await attempts(models, problem, seed)))]


async def one_group(models: Any, problem: Problem, seed: int) -> Any:
    return (await sound(models, problem, seed))[0]


async def nothing(models: Any, problem: Problem, seed: int) -> list[Group]:
    return []


async def nobody(models: Any, problem: Problem, seed: int) -> list[Group]:
    return [Group(problem, ())]


async def unnamed(models: Any, problem: Problem, seed: int) -> list[Group]:
    return [replace(group, name="") for group in await sound(models, problem, seed)]


async def of_another(models: Any, problem: Problem, seed: int) -> list[Group]:
    other = replace(problem, id="another")
    return [replace(group, problem=other) for group in await sound(models, problem, seed)]


async def asks_another(models: Any, problem: Problem, seed: int) -> list[Group]:
    return await sound(models, replace(problem, id="another"), seed)


async def one_seed_for_all(models: Any, problem: Problem, seed: int) -> list[Group]:
    policy = models["policy"]
    opened = policy.open(problem)
    return [Group(problem, tuple([await policy.extend(opened, SHORT, seed) for _ in range(3)]))]


async def ignores_its_seed(models: Any, problem: Problem, seed: int) -> list[Group]:
    return await sound(models, problem, 7)


async def draws_its_own(models: Any, problem: Problem, seed: int) -> list[Group]:
    return await sound(models, problem, random.randrange(10**9))


playing: list[str] = []


async def counts_players(models: Any, problem: Problem, seed: int) -> list[Group]:
    playing.append(problem.id)
    await asyncio.sleep(0)
    count = len(playing)
    out = await sound(models, problem, stream(seed, count))
    playing.remove(problem.id)
    return out


async def asks_a_stranger(models: Any, problem: Problem, seed: int) -> list[Group]:
    return await sound({"policy": models["teacher"]}, problem, seed)


async def needs_room(models: Any, problem: Problem, seed: int) -> list[Group]:
    (group,) = await sound(models, problem, seed)
    enough = len(models["policy"].open(problem).rows[0]) + SHORT.max_tokens
    if any(t.stop == "length" and len(t.rows[0]) < enough for t in group.trajectories):
        raise KeyError("no answer")
    return [group]


async def trains_on_the_prompt(models: Any, problem: Problem, seed: int) -> list[Group]:
    return [
        changed(group, lambda row: replace(row, trained=torch.ones_like(row.trained)))
        for group in await sound(models, problem, seed)
    ]


async def trains_on_nothing(models: Any, problem: Problem, seed: int) -> list[Group]:
    return [
        changed(group, lambda row: replace(row, trained=torch.zeros_like(row.trained)))
        for group in await sound(models, problem, seed)
    ]


async def forgets_a_logprob(models: Any, problem: Problem, seed: int) -> list[Group]:
    return [changed(g, lambda row: replace(row, logprobs=row.logprobs[1:])) for g in await sound(models, problem, seed)]


async def gives_probabilities(models: Any, problem: Problem, seed: int) -> list[Group]:
    return [
        changed(group, lambda row: replace(row, logprobs=torch.where(row.sampled, row.logprobs.exp(), 0.0)))
        for group in await sound(models, problem, seed)
    ]


async def claims_to_have_sampled_all(models: Any, problem: Problem, seed: int) -> list[Group]:
    return [
        changed(group, lambda row: replace(row, sampled=torch.ones_like(row.sampled)))
        for group in await sound(models, problem, seed)
    ]


async def claims_to_have_sampled_nothing(models: Any, problem: Problem, seed: int) -> list[Group]:
    return [
        changed(group, lambda row: replace(row, sampled=torch.zeros_like(row.sampled)))
        for group in await sound(models, problem, seed)
    ]


async def keeps_versions(models: Any, problem: Problem, seed: int) -> list[Group]:
    return [
        changed(group, lambda row: replace(row, versions=torch.zeros_like(row.versions)))
        for group in await sound(models, problem, seed)
    ]


async def counts_masks(models: Any, problem: Problem, seed: int) -> list[Group]:
    return [
        changed(g, lambda row: replace(row, trained=row.trained.long())) for g in await sound(models, problem, seed)
    ]


async def names_a_stranger(models: Any, problem: Problem, seed: int) -> list[Group]:
    return [changed(group, lambda row: replace(row, model="me")) for group in await sound(models, problem, seed)]


def changed(group: Group, change: Any) -> Group:
    return replace(
        group,
        trajectories=tuple(replace(t, rows=tuple(change(row) for row in t.rows)) for t in group.trajectories),
    )


def with_attempts(group: Group, **fields: Any) -> Group:
    return replace(group, trajectories=tuple(replace(t, **fields) for t in group.trajectories))


async def a_turn_too_far(models: Any, problem: Problem, seed: int) -> list[Group]:
    return [with_attempts(g, turns=(Turn("policy", "", 0, 0, 999),)) for g in await sound(models, problem, seed)]


async def a_short_track(models: Any, problem: Problem, seed: int) -> list[Group]:
    return [with_attempts(g, tracks={"mine": torch.zeros(2)}) for g in await sound(models, problem, seed)]


async def stops_oddly(models: Any, problem: Problem, seed: int) -> list[Group]:
    return [with_attempts(g, stop="tired") for g in await sound(models, problem, seed)]


@dataclass(frozen=True)
class Remembers:
    """Changes its state where nobody may."""

    state: dict[str, int] = field(default_factory=lambda: {"played": 0})

    async def __call__(self, models: Any, problem: Problem, seed: int) -> list[Group]:
        self.state["played"] += 1
        return await sound(models, problem, seed)


@dataclass(frozen=True)
class MarksProblems:
    async def __call__(self, models: Any, problem: Problem, seed: int) -> list[Group]:
        problem.info["columns"]["seen"] = True
        return await sound(models, problem, seed)


@pytest.mark.parametrize(
    ("rollout", "sentence"),
    [
        (one_group, "must return a list of groups"),
        (nothing, "must return a list of groups"),
        (nobody, "has no attempts"),
        (unnamed, "has no name"),
        (of_another, "an attempt at another problem"),
        (asks_another, "no group is of the drawn problem"),
        (one_seed_for_all, "all the same"),
        (ignores_its_seed, "another seed gives the same"),
        (draws_its_own, "the same seed gives other tokens"),
        (counts_players, "who else is played"),
        (asks_a_stranger, "raised KeyError: 'teacher'"),
        (needs_room, "raised KeyError: 'no answer'"),
        (trains_on_the_prompt, "nobody sampled beside sampled ones"),
        (trains_on_nothing, "nothing would be learned"),
        (forgets_a_logprob, "must have one length"),
        (gives_probabilities, "above 0 or not finite"),
        (claims_to_have_sampled_all, "have no version"),
        (claims_to_have_sampled_nothing, "nobody sampled have a log-prob"),
        (keeps_versions, "nobody sampled have a version"),
        (counts_masks, "must be bool"),
        (names_a_stranger, "of the model 'me'"),
        (a_turn_too_far, "does not lie in row 0"),
        (a_short_track, "has 2 entries for"),
        (stops_oddly, "has stop 'tired'"),
        (Remembers(), "changes its inputs"),
        (MarksProblems(), "changes its inputs"),
        (lambda models, problem, seed: sound(models, problem, seed), "can not be pickled"),
    ],
)
def test_a_broken_rollout_is_told_what_it_breaks(rollout: Any, sentence: str) -> None:
    with pytest.raises(ContractError, match=sentence):
        check_rollout(rollout)


def test_sound_rollouts_pass() -> None:
    check_rollout(sound)
    check_rollout(Sample(group=3, decoding=SHORT, model="teacher"))
    check_rollout(Sample(group=2, decoding=replace(SHORT, temperature=0)))
    check_rollout(Converse(Guess(tries=2), group=2, decoding=SHORT))
    check_rollout(Sample(group=2, decoding=SHORT), Guess())


class NeverGives(Sound):
    def problem(self, split: str, i: int) -> Problem:
        raise ValueError("nothing here")


def test_a_task_that_gives_no_problems_is_named() -> None:
    with pytest.raises(ContractError, match="NeverGives gives no two problems of 'train': nothing here"):
        check_rollout(sound, NeverGives())
