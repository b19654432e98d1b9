"""What `whet play` does: a person in the policy's place, through the very rollout and reward that a model meets."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, cast

import torch

from whet.evaluating import TASKS, asked
from whet.inventory import model_names
from whet.launch import Order, slugs
from whet.launch import find as find_recipe
from whet.models import surgery
from whet.models.codec import Codec
from whet.models.tiny import bpe_tokenizer
from whet.randomness import stream
from whet.rewards.episode import EpisodeReward
from whet.rewards.named import named
from whet.rollouts.converse import Converse, Playable
from whet.rollouts.sample import Sample
from whet.schedule import at
from whet.scoring import Weighted
from whet.settings import override
from whet.sources import ENVIRONMENTS, environment
from whet.stages.rl import RL
from whet.tasks.guess import Guess
from whet.types import Content, Decoding, Problem, Reward, Rollout, Row, Scored, Task, Trajectory, Want

# Shipped tasks that answer back.
EPISODES = {"guess": Guess}
_TURNS = 100  # our choice: so many actions in one episode, unless a recipe says otherwise
_ENDLESS = 1 << 30  # tokens: a person's context


class Skipped(Exception):
    """The person does not want to answer this problem."""


class Ended(Exception):
    """The person wants no more problems."""


class Person(Protocol):
    def ask(self, trajectory: Trajectory) -> str:
        """What the person says behind the last turn. May raise Skipped or Ended."""
        ...


class Human:
    """A `Policy` whose every `extend` asks a person. Its tokens are bytes, all chosen by the person; it has no
    log-probs, so rewards that ask for them raise ValueError."""

    def __init__(self, person: Person) -> None:
        self.person = person
        self.codec = Codec(bpe_tokenizer((), 263))  # 256 bytes, three special tokens, four tags

    def open(self, problem: Problem) -> Trajectory:
        return self.codec.open(problem, _ENDLESS)

    def insert(self, trajectory: Trajectory, content: Content, role: str | None = None) -> Trajectory:
        return self.codec.insert(trajectory, content, role)

    async def extend(self, trajectory: Trajectory, decoding: Decoding, seed: int) -> Trajectory:
        text = self.person.ask(trajectory)
        ids = [*self.codec.tokenizer.encode(text, add_special_tokens=False), self.codec.eos[0]]
        row = surgery.given(ids, trajectory.rows[-1].model, trained=True)
        chosen = replace(row, sampled=torch.ones(len(ids), dtype=torch.bool))
        return surgery.append(trajectory, chosen, "policy", text, "eos")

    async def score(self, rows: Sequence[Row], want: Sequence[Want] = ("logprobs",)) -> list[Any]:
        raise ValueError("a person has no log-probs; choose another reward with --reward")

    def reopen(self, trajectory: Trajectory, ids: Sequence[int]) -> Trajectory:
        return self.codec.reopen(trajectory, ids)

    def cut(self, trajectory: Trajectory, row: int, stop: int) -> Trajectory:
        return self.codec.cut(trajectory, row, stop)

    def graft(self, trajectory: Trajectory, opened: Trajectory) -> Trajectory:
        return self.codec.graft(trajectory, opened)


@dataclass(frozen=True)
class Game:
    """What is played: one attempt at each problem of a split, and who judges it."""

    task: Task
    rollout: Rollout
    reward: Reward
    split: str = "test"
    models: tuple[str, ...] = field(default=("policy",))

    def problems(self, first: int, count: int) -> list[Problem]:
        """`count` problems from the first-th on, or what there is of them. ValueError if there are none."""
        size = self.task.size(self.split)
        last = first + count if size is None else min(size, first + count)
        if first < 0 or first >= last:
            raise ValueError(f"the split {self.split!r} has {size} problems, so none from place {first} on")
        return [self.task.problem(self.split, i) for i in range(first, last)]

    async def attempt(self, human: Human, problem: Problem) -> list[Scored]:
        """One attempt, with rewards: one `Scored` for each group that the rollout makes. An attempt at which the task's
        own code failed has no rewards."""
        models = dict.fromkeys(self.models, human)
        groups = await self.rollout(models, problem, stream(0, "play", problem.id))
        failed = [any(t.stop == "error" for t in group.trajectories) for group in groups]
        return [
            Scored(group, ()) if bad else await self.reward(models, group)
            for group, bad in zip(groups, failed, strict=True)
        ]


def game(
    name: str,
    settings: Sequence[str] = (),
    reward: str = "",
    split: str = "",
    arm: str = "",
    prompt: str = "",
    answer: str | None = None,
) -> Game:
    """The game of that name: a shipped task, a reasoning-gym data set ("gym:NAME"), an environment ("gymnasium:NAME",
    "verifiers:NAME"), a file of problems and answers, or a recipe's first stage of reinforcement learning.

    `settings` change fields of the task, or of the recipe. ValueError for a name that is none of these, and for a
    recipe that needs more than one player.
    """
    judge = Weighted({"correct": named(reward)}) if reward else None
    if name in slugs() or name.endswith(".py"):
        return _of_recipe(Order(name, arm, settings=tuple(settings)), judge, split)
    if arm:
        raise ValueError(f"--arm chooses one of a recipe, and {name!r} is a task; leave it out")
    if name in EPISODES or name.partition(":")[0] in ENVIRONMENTS:
        task: Any = override(EPISODES[name]() if name in EPISODES else environment(name), settings)
        rollout = Converse(cast(Playable, task), group=1, turns=_TURNS, role="user")
        return Game(task, rollout, judge or Weighted({"correct": EpisodeReward()}), split or "test")
    _check_name(name)
    what = asked(name, settings, prompt, answer, reward)
    return Game(what.task, Sample(group=1), judge or Weighted({"correct": named(what.reward)}), split or what.split)


def _of_recipe(order: Order, judge: Reward | None, split: str) -> Game:
    recipe = find_recipe(order)
    arm = order.arm or next(iter(recipe.arms))
    if arm not in recipe.arms:
        raise ValueError(f"there is no arm {arm!r}; choose one with --arm: {', '.join(recipe.arms)}")
    stage = next((at(stage, 0) for stage in recipe.arms[arm] if isinstance(stage, RL)), None)
    if stage is None:
        raise ValueError(
            f"the arm {arm!r} of {order.recipe} has no stage of reinforcement learning, so nothing to play"
        )
    rollout: Any = stage.rollout
    reward = judge or stage.reward
    players = {name for _, name in model_names(rollout)} or {"policy"}
    if len(players) > 1:
        raise ValueError(f"the rollout of {order.recipe} has several players ({', '.join(sorted(players))}), not one")
    if others := {name for _, name in model_names(reward)} - players:
        raise ValueError(
            f"the reward of {order.recipe} asks the model {', '.join(sorted(others))}, which is not there in a game; "
            "choose another with --reward"
        )
    if "group" in getattr(type(rollout), "__dataclass_fields__", {}):
        rollout = replace(rollout, group=1)
    return Game(stage.task, rollout, reward, split or "test", tuple(players))


def _check_name(name: str) -> None:
    """ValueError for a plain word that names nothing, with the nearest of all that can be played."""
    known = [*TASKS, *EPISODES, *slugs()]
    if name in known or ":" in name or "/" in name or "." in name:
        return
    near = difflib.get_close_matches(name, known, n=2, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known)}"
    raise ValueError(f"there is no task or recipe {name!r} to play; {hint} (also gym:NAME, gymnasium:NAME, or a file)")
