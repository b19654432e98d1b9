from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

from tests.helpers.model_small import shaken
from whet.engines.native import Native
from whet.models.tiny import TinyQwen
from whet.rollouts.converse import Converse
from whet.tasks.chain_sum import ChainSum
from whet.tasks.guess import Guess
from whet.tasks.mixture import Mixture
from whet.types import Decoding, Episode, Group, Problem, Step, Trajectory

SHORT = Decoding(max_tokens=60, stop_tokens=tuple(range(20, 60)))  # ends soon by a stop token
TASK = Guess(tries=3)


@pytest.fixture(scope="module")
def engine() -> Native:
    return Native(shaken(TinyQwen(width=32, layers=1, heads=2, kv_heads=1, context=200)))


def play(rollout: Converse, engine: Native, count: int = 1, task: Any = TASK) -> list[Group]:
    async def everyone() -> list[list[Group]]:
        problems = [task.problem("train", i) for i in range(count)]
        return await asyncio.gather(*(rollout({"policy": engine}, p, 11 + k) for k, p in enumerate(problems)))

    return [group for groups in asyncio.run(everyone()) for group in groups]


def roles(trajectory: Trajectory) -> list[str]:
    return [turn.role for turn in trajectory.turns]


@dataclass(frozen=True)
class Scripted:
    """A task whose environment answers one thing after another."""

    script: tuple[Any, ...]
    seen: list[str] = field(default_factory=list, compare=False)

    def episode(self, problem: Problem) -> Episode:
        if not self.script:
            raise OSError("the environment is down")
        return Player(list(self.script), self.seen)


class Player:
    def __init__(self, script: list[Any], seen: list[str]) -> None:
        self.script, self.seen = script, seen

    async def step(self, action: str) -> Step:
        self.seen.append(action)
        await asyncio.sleep(0)
        said = self.script.pop(0)
        if isinstance(said, Exception):
            raise said
        return said

    def fork(self) -> Player:
        return Player(list(self.script), self.seen)


def one(engine: Native, *script: Any, **settings: Any) -> tuple[Trajectory, Scripted]:
    task = Scripted(script)
    (group,) = play(Converse(task, group=1, decoding=SHORT, **settings), engine)
    return group.trajectories[0], task


def test_actions_and_observations_take_turns_until_the_end(engine: Native):
    trajectory, task = one(engine, Step("warm", 0.25), Step("hot"), Step("you win", 1.0, "done"))
    assert roles(trajectory) == ["prompt", "policy", "env", "policy", "env", "policy"]
    assert [t.text for t in trajectory.turns if t.role == "env"] == ["warm", "hot"]
    assert [t.reward for t in trajectory.turns if t.role == "policy"] == [0.25, 0.0, 1.0]
    assert [t.text for t in trajectory.turns if t.role == "policy"] == task.seen
    assert trajectory.stop == "env"
    assert trajectory.info == {"end": "done", "observation": "you win"}


def test_one_row_holds_the_whole_conversation_and_only_actions_are_trained(engine: Native):
    trajectory, _ = one(engine, Step("warm"), Step("", 1.0, "done"))
    (row,) = trajectory.rows
    acted = torch.zeros(len(row), dtype=torch.bool)
    for turn in trajectory.turns:
        if turn.role == "policy":
            acted[turn.start : turn.stop] = True
    assert torch.equal(row.trained, acted) and torch.equal(row.sampled, acted)
    assert trajectory.turns[-1].stop == len(row)


def test_the_cap_on_turns_ends_an_attempt(engine: Native):
    trajectory, _ = one(engine, *[Step("go on")] * 9, turns=3)
    assert roles(trajectory) == ["prompt", "policy", "env", "policy", "env", "policy"]
    assert trajectory.stop == "length" and trajectory.info == {"end": "turns"}


def test_an_action_that_is_cut_off_is_not_played(engine: Native):
    task = Scripted((Step("never"),))
    (group,) = play(Converse(task, group=1, decoding=Decoding(max_tokens=1)), engine)
    assert group.trajectories[0].stop == "length" and task.seen == []


def test_a_full_context_ends_an_attempt(engine: Native):
    trajectory, _ = one(engine, Step("long " * 60))
    assert trajectory.stop == "length" and len(trajectory.rows[0]) == 200


def test_a_failing_environment_is_data_and_no_crash(engine: Native):
    trajectory, _ = one(engine, Step("fine", 0.5), KeyError("door"))
    assert trajectory.stop == "error" and trajectory.info == {"error": "KeyError: 'door'"}
    assert roles(trajectory) == ["prompt", "policy", "env", "policy"]
    assert trajectory.turns[1].reward == 0.5
    trajectory, _ = one(engine)
    assert trajectory.stop == "error" and trajectory.info == {"error": "OSError: the environment is down"}
    trajectory, _ = one(engine, "no step")
    assert trajectory.info == {"error": "TypeError: step must return a Step, got str"}


def test_every_attempt_has_an_episode_of_its_own_and_plays_the_same_again(engine: Native):
    rollout = Converse(TASK, group=4, decoding=SHORT, turns=5)
    first, again = play(rollout, engine, 3), play(rollout, engine, 3)
    texts = [[[turn.text for turn in t.turns] for t in group.trajectories] for group in first]
    assert texts == [[[turn.text for turn in t.turns] for t in group.trajectories] for group in again]
    assert len({str(t) for group in texts for t in group}) > 3
    for group in first:
        assert len(group.trajectories) == 4
        for attempt in group.trajectories:
            assert attempt.stop in ("env", "length")
            assert roles(attempt).count("policy") <= TASK.tries


def test_many_conversations_share_their_waves(engine: Native):
    engine = Native(engine.lm, engine="reference")
    before = engine.waves
    play(Converse(Scripted((Step("a"), Step("b"), Step("", 0.0, "done"))), group=4, decoding=SHORT), engine, count=5)
    assert engine.waves == before + 3


def test_a_mixture_plays_in_its_sources_episodes(engine: Native):
    mixed = Mixture({"guess": TASK, "sums": ChainSum()}, {"guess": 1, "sums": 0})
    (group,) = play(Converse(mixed, group=1, decoding=SHORT), engine, task=mixed)
    assert group.trajectories[0].stop in ("env", "length")
    mixed = Mixture({"sums": ChainSum()})
    (group,) = play(Converse(mixed, group=1, decoding=SHORT), engine, task=mixed)
    assert "has no episodes" in group.trajectories[0].info["error"]


def test_wrong_settings_are_refused():
    with pytest.raises(ValueError, match="ChainSum has none; use Sample"):
        Converse(ChainSum())  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="turns must be at least 1"):
        Converse(TASK, turns=0)
    with pytest.raises(ValueError, match="group must be at least 1"):
        Converse(TASK, group=0)
