"""Imitating what nobody could solve, between the steps of RL."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.examples import attempt, row
from helpers.shapes import Letters, go, killed, metrics, never, odd, same

from whet.advantages.group_mean import GroupMean
from whet.callbacks.imitate_hardest import ImitateHardest, _problem
from whet.curricula.uniform import Uniform
from whet.metrics.scored import training_metrics
from whet.objectives.clip import Clip
from whet.objectives.likelihood import Likelihood
from whet.promises.common import portable
from whet.rollouts.sample import Sample
from whet.run import Run, Save
from whet.scoring import Weighted
from whet.stages.imitation import Imitation
from whet.stages.learning import Train
from whet.stages.rl import RL
from whet.types import Batch, Decoding, Group, Media, Outputs, Problem, Scored

FOUR = ([0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0])  # the page's rewards
nothing = float("nan")


def asked(name: str, rewards: Sequence[float], correct: Sequence[float] = (), slot: int = 0, **info: Any) -> Scored:
    """A question "ab?" with attempts of these rewards, of which `correct` says whether they are right."""
    problem = Problem(name, "ab?", info={"solution": f"dc{name}", **info})
    attempts = tuple(attempt(row([1, 2], [0, 1]), problem=name) for _ in rewards)
    tokens = tuple(torch.tensor([0.0, reward]) for reward in rewards)
    return Scored(Group(problem, attempts, slot=slot), tokens, {"correct": torch.tensor(list(correct or rewards))})


def names(problems: Sequence[Problem]) -> list[str]:
    return [problem.id for problem in problems]


@dataclass(frozen=True)
class Scripted:
    """Tells `inner` what is written for the step, whatever was played."""

    inner: ImitateHardest
    steps: Sequence[Sequence[Scored]]

    async def __call__(self, run: Run, step: int, scored_P: list[Scored]) -> None:
        await self.inner(run, step, list(self.steps[step]))


@dataclass(frozen=True)
class Noted:
    """An imitation that keeps the names of what it imitates."""

    imitation: Imitation = field(default_factory=lambda: Imitation(Train(Likelihood(), lr=1e-2)))
    seen: list[list[str]] = field(default_factory=list)

    def __call__(self, run: Run, step: int, problems: Sequence[Problem]) -> dict[str, float]:
        self.seen.append(names(problems))
        return self.imitation(run, step, problems)


def stage(*callbacks: Any, steps: int = 6, reward: Any = never, task: Any = None, problems: int = 1, **more: Any) -> RL:
    rollout = Sample(group=2, decoding=Decoding(max_tokens=3))
    train = {"policy": Train(Clip(), lr=1e-2)}
    return RL(
        task or Letters(),
        rollout,
        Weighted({"correct": reward}),
        train,
        callbacks=callbacks,
        problems=problems,
        steps=steps,
        save=Save(every=1),
        **more,
    )


def scripted(folder: Path, steps: Sequence[Sequence[Scored]], batch: int, **more: Any) -> tuple[Run, ImitateHardest]:
    """A run whose callback is told `steps`, on a task that has a solution for everything."""
    inner = ImitateHardest(**{"imitate": Noted(), "batch": batch, **more})
    return go(folder, stage(Scripted(inner, steps), steps=len(steps))), inner


def told(folder: Path, name: str) -> list[Any]:
    return [line.get(f"imitate/{name}") for line in metrics(folder)]


# -- what is hard -----------------------------------------------------------------------------------------------------


def test_hard_means_that_every_attempt_failed():
    scored_P = [asked(str(i), rewards) for i, rewards in enumerate(FOUR)]
    assert names(ImitateHardest(Noted()).hard(scored_P)) == ["0", "2"]
    assert training_metrics(scored_P)["groups/all_right"] * 4 == 1
    credit = GroupMean(std="none")(scored_P).advantages
    assert [round(float(a[1]), 6) for a in credit[1]] == [0.666667, -0.333333, -0.333333]
    assert all(float(a.abs().sum()) == 0 for p in (0, 2, 3) for a in credit[p])


def test_correctness_decides_and_not_the_shaped_reward_unless_it_is_to_be_as_in_the_papers_code():
    late = asked("late", [0.0, -0.5, 0.0], correct=[0.0, 0.0, 0.0])  # wrong, one of them overlong
    neat = asked("neat", [0.2, 0.0, 0.0], correct=[0.0, 0.0, 0.0])  # wrong, one of them in a good form
    long = asked("long", [0.0, 0.0, 0.0], correct=[1.0, 0.0, 0.0])  # solved, and the penalty took all of it
    assert names(ImitateHardest(Noted()).hard([late, neat, long])) == ["late", "neat"]
    assert names(ImitateHardest(Noted(), faithful=True).hard([late, neat, long])) == ["long"]


def test_attempts_without_a_verdict_do_not_count_and_a_group_of_them_is_neither():
    some, none = asked("some", [nothing, 0.0]), asked("none", [nothing, nothing])
    right = asked("right", [nothing, 1.0])
    broken = asked("broken", [1.0, 0.0])
    stopped = replace(broken.group.trajectories[0], stop="error")
    broken = replace(broken, group=replace(broken.group, trajectories=(stopped, broken.group.trajectories[1])))
    for faithful in (False, True):
        judged = ImitateHardest(Noted(), faithful=faithful).judged([some, none, right, broken])
        assert [(p.id, failed) for p, failed in judged] == [("some", True), ("right", False), ("broken", True)]


def test_all_groups_of_one_place_of_the_draw_are_one_and_a_shown_text_is_no_attempt():
    hinted = replace(asked("a", [0.0, 1.0]), group=replace(asked("a", [0.0, 1.0]).group, name="hinted"))
    assert ImitateHardest(Noted()).hard([asked("a", [0.0, 0.0]), hinted]) == []
    assert names(ImitateHardest(Noted()).hard([asked("a", [0.0]), asked("a", [1.0], slot=1)])) == ["a"]
    shown = asked("a", [1.0])
    text = replace(shown.group.trajectories[0], rows=(replace(row([1, 2], [0, 1]), sampled=torch.zeros(2).bool()),))
    shown = replace(shown, group=Group(shown.group.problem, (text,), "demonstration"))
    assert names(ImitateHardest(Noted()).hard([asked("a", [0.0]), shown])) == ["a"]


# -- the queue --------------------------------------------------------------------------------------------------------


def test_a_full_queue_is_imitated_and_is_then_empty(tmp_path: Path):
    _, two = scripted(tmp_path, [[asked(str(i), rewards) for i, rewards in enumerate(FOUR)]], batch=2)
    assert two.imitate.seen == [["0", "2"]] and two.state["queue"] == []
    assert (told(tmp_path, "hard"), told(tmp_path, "waiting"), told(tmp_path, "demonstrations")) == ([0.5], [0], [2])
    assert told(tmp_path, "updates") == [1]


def test_a_queue_that_is_not_full_waits_and_the_oldest_go_first(tmp_path: Path):
    first, second = [asked(str(i), rewards) for i, rewards in enumerate(FOUR)], [asked("9", [0.0])]
    _, three = scripted(tmp_path, [first, second, [asked("8", [1.0])]], batch=3)
    assert three.imitate.seen == [["0", "2", "9"]]
    assert told(tmp_path, "waiting") == [2, 0, 0]
    assert told(tmp_path, "demonstrations") == [0, 3, 0]
    assert told(tmp_path, "waited") == [None, pytest.approx(2 / 3), None]
    assert told(tmp_path, "hard") == [0.5, 1.0, 0.0]


def test_there_is_one_supervised_step_at_most_after_each_of_rl(tmp_path: Path):
    five = [asked(name, [0.0], slot=slot) for slot, name in enumerate("abcda")]  # one was drawn twice
    _, callback = scripted(tmp_path, [five, [], []], batch=2)
    assert callback.imitate.seen == [["a", "b"], ["c", "d"]]
    assert told(tmp_path, "waiting") == [3, 1, 1]
    assert told(tmp_path, "hard") == [1.0, None, None]


def test_problems_without_a_demonstration_are_skipped_and_counted(tmp_path: Path):
    bare = replace(asked("b", [0.0]), group=replace(asked("b", [0.0]).group, problem=Problem("b", "ab?")))
    empty = asked("c", [0.0], solution="")
    _, callback = scripted(tmp_path, [[asked("a", [0.0]), bare, empty, asked("d", [0.0])]], batch=2)
    assert callback.imitate.seen == [["a", "d"]]
    assert (told(tmp_path, "without"), told(tmp_path, "hard")) == ([2], [1.0])


def test_what_was_solved_meanwhile_is_counted_and_imitated_all_the_same(tmp_path: Path):
    steps = [
        [asked("a", [0.0]), asked("b", [0.0]), asked("c", [0.0])],
        [asked("a", [1.0]), asked("b", [0.0, 1.0], slot=1)],
        [asked("b", [0.0]), asked("b", [1.0], slot=1), asked("c", [nothing])],
        [asked("d", [0.0])],
    ]
    _, callback = scripted(tmp_path, steps, batch=5)
    assert callback.imitate.seen == [["a", "b", "c", "b", "d"]]
    assert told(tmp_path, "solved") == [None, None, None, 2 / 5]


@pytest.mark.parametrize(("reward", "used"), [(never, [["a", "b"]]), (odd, None)])
def test_those_that_are_solved_by_now_can_be_left_out(tmp_path: Path, reward: Any, used: Any):
    again = {"rollout": Sample(group=1, decoding=Decoding(max_tokens=3)), "reward": Weighted({"correct": reward})}
    waiting = [asked(name, [0.0]) for name in ("ab" if used else "abcdefgh")]
    run, callback = scripted(tmp_path, [waiting], batch=len(waiting), **again)
    (imitated,) = callback.imitate.seen
    if used:
        assert [imitated] == used and told(tmp_path, "solved") == [0]
    else:  # chance solves about half of them
        assert 0 < len(imitated) < 8 and told(tmp_path, "solved") == [1 - len(imitated) / 8]
    assert told(tmp_path, "demonstrations") == [len(imitated)] and callback.state["queue"] == []
    plain = go(tmp_path / "plain", stage(steps=1)).tokens
    assert run.tokens >= plain + len(waiting) + len(imitated)  # what was played and what was imitated


def test_all_solved_by_now_means_no_step(tmp_path: Path):
    async def right(models: Any, group: Group) -> Scored:
        return await Weighted({"correct": lambda g: torch.ones(len(g.trajectories))})(models, group)

    again = {"rollout": Sample(group=1, decoding=Decoding(max_tokens=3)), "reward": right}
    _, callback = scripted(tmp_path, [[asked("a", [0.0]), asked("b", [0.0])]], batch=2, **again)
    assert callback.imitate.seen == [[]] and callback.state == {"queue": [], "steps": 1}
    assert told(tmp_path, "updates") == [None] and told(tmp_path, "solved") == [1.0]


def test_random_problems_in_their_place_make_as_many_steps(tmp_path: Path):
    def kept(name: str, **more: Any) -> ImitateHardest:
        callback = ImitateHardest(Noted(), batch=3, **more)
        go(tmp_path / name, stage(callback, steps=9, problems=1))
        return callback

    hardest, random = kept("hardest"), kept("random", instead=Uniform())
    assert [len(part) for part in random.imitate.seen] == [len(part) for part in hardest.imitate.seen] == [3, 3, 3]
    assert random.imitate.seen != hardest.imitate.seen
    assert told(tmp_path / "random", "waiting") == told(tmp_path / "hardest", "waiting")
    most = kept("most", instead=Uniform(), most=2)
    assert most.imitate.seen == random.imitate.seen[:2] and most.state == {"queue": [], "steps": 2}


# -- learning ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Updates:
    """How many updates each optimizer has made, after every step."""

    seen: list[dict[str, float]] = field(default_factory=list)

    async def __call__(self, run: Run, step: int, scored_P: list[Scored]) -> None:
        states = {name: learner.optimizer.state_dict()["state"] for name, learner in run.learners.items()}
        self.seen.append({name: float(state[0]["step"]) if state else 0 for name, state in states.items()})


def test_the_optimizer_is_its_own_and_supervised_steps_leave_rls_alone(tmp_path: Path):
    look = Updates()
    go(tmp_path, stage(ImitateHardest(Noted(), batch=3), look))
    assert [at["policy"] for at in look.seen] == [1, 2, 3, 4, 5, 6]
    assert [at.get("policy/imitation", 0) for at in look.seen] == [0, 0, 1, 1, 1, 2]
    losses = [value for value in told(tmp_path, "nll") if value is not None]
    assert losses[1] < losses[0]


@dataclass(frozen=True)
class Infinite:
    """A loss beyond all bounds."""

    needs: tuple[str, ...] = ()

    def __call__(self, outputs: Outputs, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        return -outputs.logprobs * 3e38 * 10, {}


@pytest.mark.parametrize(
    "imitation",
    [Imitation(Train(Infinite(), lr=1e-2)), Imitation(Train(Likelihood(), lr=1e-2), largest_norm=1e-6)],
    ids=["not finite", "too large"],
)
def test_a_refused_gradient_leaves_the_weights_and_the_entries_are_gone(tmp_path: Path, imitation: Imitation):
    plain = go(tmp_path / "plain", stage(steps=3)).lms["policy"].state_dict()
    callback, look = ImitateHardest(Noted(imitation), batch=3), Updates()
    run = go(tmp_path / "refused", stage(callback, look, steps=3))
    assert all(value.equal(run.lms["policy"].state_dict()[name]) for name, value in plain.items())
    assert callback.imitate.seen and callback.state["queue"] == []
    assert told(tmp_path / "refused", "updates")[2] == 0 and told(tmp_path / "refused", "updates_dropped")[2] == 1
    assert look.seen[2] == {"policy": 3, "policy/imitation": 0}


# -- resuming ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Chat(Letters):
    """The same questions as messages, with something of their own that a reward may need."""

    def problem(self, split: str, i: int) -> Problem:
        problem = super().problem(split, i)
        info = {**problem.info, "numbers": (1, torch.ones(2))}
        return replace(problem, prompt=[{"role": "user", "content": problem.prompt}], info=info)


def once_more(reward: Any = odd) -> dict[str, Any]:
    return {"rollout": Sample(group=1, decoding=Decoding(max_tokens=3)), "reward": Weighted({"correct": reward})}


@pytest.mark.parametrize(("at", "ahead"), [((2,), 0), ((3, 4), 0), ((5, 5), 0), ((3, 4), 2)])
@pytest.mark.parametrize("more", [{}, once_more(), {"instead": Uniform(), "most": 1}], ids=["plain", "again", "random"])
def test_a_run_killed_between_supervised_steps_goes_on_the_same(
    tmp_path: Path, at: tuple[int, ...], ahead: int, more: dict[str, Any]
):
    def make() -> RL:
        return stage(ImitateHardest(Noted(), batch=3, **more), task=Chat(), reward=odd, problems=3, ahead=ahead)

    first = make()
    whole = go(tmp_path / "whole", first).lms["policy"].state_dict()
    assert sum(value is not None for value in told(tmp_path / "whole", "nll")) >= 1
    broken = killed(tmp_path / "broken", make, at).lms["policy"].state_dict()
    assert same(tmp_path / "whole", tmp_path / "broken")
    assert all(value.equal(broken[name]) for name, value in whole.items())


def test_what_waits_can_be_saved_and_comes_back_as_it_was():
    picture = Media("image", torch.arange(4.0), 2, start=1)
    full = Problem("p", ["ab", picture, "?"], 7, {"solution": [{"role": "assistant", "content": "dc"}], "n": (1, None)})
    file = io.BytesIO()
    again = once_more()
    torch.save([ImitateHardest(Noted(), **more)._stored(full) for more in ({}, again)], file)
    file.seek(0)
    little, all_ = torch.load(file, weights_only=True)
    for kept in (little, all_):
        prompt: Any = _problem({"id": "p", **kept}).prompt
        assert prompt[0] == "ab" and prompt[2] == "?" and vars(prompt[1]).keys() == vars(picture).keys()
        assert prompt[1].values.equal(picture.values) and (prompt[1].length, prompt[1].start) == (2, 1)
    assert _problem({"id": "p", **little}).info == {"solution": [{"role": "assistant", "content": "dc"}]}
    assert _problem({"id": "p", **all_}).answer == 7 and _problem({"id": "p", **all_}).info["n"] == [1, None]
    numpys = Problem("p", "a", info={"solution": np.str_("dc"), "x": np.float64(0.5)})
    stored = ImitateHardest(Noted(), **again)._stored(numpys)["info"]
    assert type(stored["solution"]) is str and type(stored["x"]) is float


# -- what is refused --------------------------------------------------------------------------------------------------


def test_wrong_settings_and_problems_are_refused(tmp_path: Path):
    for wrong, said in (
        ({"batch": 0}, "batch must be at least 1, got 0"),
        ({"most": -1}, "most must be 0"),
        ({"rollout": Sample()}, "give both, or none"),
    ):
        with pytest.raises(ValueError, match=said):
            ImitateHardest(Noted(), **wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"correct is 'right' and the terms of this reward are \['correct'\]"):
        ImitateHardest(Noted(), correct="right").hard([asked("a", [0.0])])
    with pytest.raises(
        ValueError, match=r"problem 'a' waits .* a checkpoint can not hold it: a part of it is of type object"
    ):
        scripted(tmp_path, [[asked("a", [0.0], thing=object())]], batch=2, **once_more())


def test_it_can_be_copied_and_described():
    portable(ImitateHardest(Imitation(), batch=16, instead=Uniform()))
    assert ImitateHardest(Imitation()).batch == 64
