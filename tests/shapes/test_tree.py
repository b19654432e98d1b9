"""A tree: attempts fork behind a tool's answer, so leaves share a prefix, the tool's calls and their credit."""

from __future__ import annotations

import asyncio
from asyncio import gather
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.examples import attempt, group, row, scored
from helpers.shapes import Letters, metrics, odd, played, tiny, watched

from whet.advantages.group_mean import GroupMean
from whet.engines.native import Native
from whet.objectives.clip import Clip
from whet.randomness import stream
from whet.scoring import Weighted
from whet.stages.learning import Train
from whet.stages.rl import RL
from whet.types import (
    Batch,
    Credit,
    Decoding,
    Episode,
    Group,
    Models,
    Outputs,
    Problem,
    Scored,
    Step,
    Trajectory,
    joined,
)


@dataclass(frozen=True)
class Tree:
    """`roots` attempts; each that stops for a tool forks behind its first answer, until there are `leaves`. A fork
    takes a copy of the environment as it is. `info["path"]` holds (node, where its tokens end), root first."""

    task: Any
    roots: int = 2
    leaves: int = 4
    turns: int = 2
    decoding: Decoding = Decoding(max_tokens=8, stop_tokens=tuple(range(7, 13)))

    async def __call__(self, models: Models, problem: Problem, seed: int) -> list[Group]:
        policy, opened, out = models["policy"], models["policy"].open(problem), []

        async def act(before: Trajectory, episode: Episode, name: str) -> tuple[Trajectory, Episode, str]:
            after = await policy.extend(before, self.decoding, stream(seed, name))
            if after.stop == "stop":
                after = policy.insert(after, (await episode.step(after.turns[-1].text)).content)
            path = (*before.info.get("path", ()), (name, len(after.rows[0])))
            return replace(after, info={"path": path}), episode, name

        going = [(opened, self.task.episode(problem), f"{i}") for i in range(self.roots)]
        for _ in range(self.turns):
            going = await gather(*(act(*one) for one in going))
            out += [t for t, _, _ in going if t.stop]  # ended by EOS or its length, not by a tool
            going = [one for one in going if not one[0].stop]
            room = self.leaves - len(out) - len(going)
            going += [(t, e.fork(), f"{n}+") for t, e, n in going[:room]]
        out += [t for t, _, _ in going]
        seeds = (stream(seed, "more", i) for i in range(self.leaves - len(out)))
        out += await gather(*(policy.extend(opened, self.decoding, s) for s in seeds))
        return [Group(problem, tuple(out))]


@dataclass(frozen=True)
class Shared:
    """A token that several leaves share gets the mean of their advantages; their own tokens keep their own."""

    inner: Any = field(default_factory=GroupMean)

    def __call__(self, scored_P: list[Scored]) -> Credit:
        return Credit([self._spread(s, a) for s, a in zip(scored_P, self.inner(scored_P).advantages, strict=True)])

    def _spread(self, scored: Scored, advantages: list[torch.Tensor]) -> list[torch.Tensor]:
        leaves_G, paths = scored.group.trajectories, [dict(t.info.get("path", ())) for t in scored.group.trajectories]
        own = [float(a.sum() / joined(t, "trained").sum()) for a, t in zip(advantages, leaves_G, strict=True)]
        out = [a.clone() for a in advantages]
        for a, path, t in zip(out, paths, leaves_G, strict=True):
            start = 0
            for node, stop in path.items():
                leaves = [value for value, other in zip(own, paths, strict=True) if node in other]
                a[start:stop] = sum(leaves) / len(leaves)
                start = stop
            a[~joined(t, "trained")] = 0
        return out


@dataclass(frozen=True)
class Counted:
    """A tool that counts: each answer is how often this branch has called it."""

    calls: list[str]

    def episode(self, problem: Problem) -> Episode:
        return Branch(self.calls, 0)


class Branch:
    def __init__(self, calls: list[str], count: int) -> None:
        self.calls, self.count = calls, count

    async def step(self, action: str) -> Step:
        self.count += 1
        self.calls.append(action)
        return Step("?" + "ab"[self.count - 1])

    def fork(self) -> Branch:
        return Branch(self.calls, self.count)


ALWAYS = Decoding(max_tokens=1, stop_tokens=tuple(range(19)))  # every token calls the tool


def test_forks_share_a_prefix_and_its_calls(tmp_path: Path):
    calls: list[str] = []
    seen: list[tuple[Outputs, Batch]] = []
    lm = tiny()
    train = {"policy": Train(watched(Clip(), seen))}
    rollout = Tree(Counted(calls), decoding=replace(ALWAYS, stop_tokens=tuple(i for i in range(19) if i != 1)))
    stage = RL(Letters(), rollout, Weighted({"odd": odd}), train, advantage=Shared(), problems=4, steps=1)
    _, (scored_P,) = played(tmp_path, stage, {"policy": lm})
    full = 0
    for s in scored_P:
        leaves = s.group.trajectories
        assert len(leaves) == 4
        for leaf in leaves:
            for other in leaves:
                paths = [dict(t.info.get("path", ())) for t in (leaf, other)]
                common = [stop for node, stop in paths[0].items() if paths[1].get(node) == stop]
                for name in ("tokens", "logprobs", "versions") if common else ():
                    assert joined(leaf, name)[: common[-1]].equal(joined(other, name)[: common[-1]])
        full += sorted(len(t.info.get("path", ())) for t in leaves) == [2, 2, 2, 2]
    assert full > 0  # some trees grew as they should
    assert metrics(tmp_path)[0]["ratio"] == pytest.approx(1, abs=1e-5)


def test_two_roots_that_always_fork_make_four_leaves_and_share_calls():
    calls: list[str] = []
    policy = Native(tiny())
    problem = Letters().problem("train", 0)
    (grown,) = asyncio.run(Tree(Counted(calls), decoding=ALWAYS)({"policy": policy}, problem, 3))
    nodes = [[node for node, _ in t.info["path"]] for t in grown.trajectories]
    assert nodes == [["0", "0"], ["1", "1"], ["0", "0+"], ["1", "1+"]]
    assert len(calls) == 2 * 3  # each root: one shared call, and one more for each of its two leaves: 3, not 4
    answers = [[t.text for t in leaf.turns if t.role == "env"] for leaf in grown.trajectories]
    assert answers == [["?a", "?b"]] * 4  # a fork has a copy of its environment
    never = Tree(Counted(calls), decoding=Decoding(max_tokens=2))
    (grown,) = asyncio.run(never({"policy": policy}, problem, 3))
    assert len(grown.trajectories) == 4 and len(calls) == 6  # no forks: two more from the root


def test_shared_tokens_get_the_mean_of_their_leaves():
    leaves = [attempt(row([1, 2, 3], [0, 1, 1])) for _ in range(4)]
    paths = [(("0", 2), ("0a", 3)), (("0", 2), ("0+", 3)), (("1", 3),), (("2", 3),)]
    leaves = [replace(leaf, info={"path": path}) for leaf, path in zip(leaves, paths, strict=True)]
    credit = Shared(GroupMean(std="none"))([scored(group(*leaves), [1.0, -1.0, 0.5, -0.5])])
    told = [[round(float(x), 6) for x in a] for a in credit.advantages[0]]
    assert told == [[0, 0, 1], [0, 0, -1], [0, 0.5, 0.5], [0, -0.5, -0.5]]
