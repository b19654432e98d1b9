from __future__ import annotations

import asyncio

import pytest

from tests.helpers.model_small import shaken
from whet.engines.native import Native
from whet.models.tiny import TinyQwen
from whet.rollouts.sample import Sample
from whet.tasks.chain_sum import ChainSum
from whet.types import Decoding, Group

TASK = ChainSum()
DECODING = Decoding(max_tokens=8)


@pytest.fixture(scope="module")
def engine() -> Native:
    return Native(shaken(TinyQwen(width=32, layers=1, heads=2, kv_heads=1)))


def play(rollout: Sample, engine: Native, count: int = 1, seed: int = 3) -> list[list[Group]]:
    async def everyone() -> list[list[Group]]:
        problems = [TASK.problem("train", i) for i in range(count)]
        return await asyncio.gather(
            *(rollout({"policy": engine, "other": engine}, p, seed + k) for k, p in enumerate(problems))
        )

    return asyncio.run(everyone())


def test_a_group_has_its_problem_and_as_many_attempts_as_asked(engine: Native):
    (group,) = play(Sample(group=5, decoding=DECODING), engine)[0]
    assert group.problem == TASK.problem("train", 0) and group.name == "direct"
    assert len(group.trajectories) == 5
    for attempt in group.trajectories:
        assert [turn.role for turn in attempt.turns] == ["prompt", "policy"]
        assert attempt.stop in ("eos", "length")
        assert 1 <= int(attempt.rows[0].sampled.sum()) <= 8


def test_attempts_differ_and_play_the_same_again(engine: Native):
    one, two = (play(Sample(group=4, decoding=DECODING), engine)[0][0] for _ in range(2))
    texts = [attempt.turns[-1].text for attempt in one.trajectories]
    assert len(set(texts)) > 1
    assert texts == [attempt.turns[-1].text for attempt in two.trajectories]


def test_an_attempt_does_not_depend_on_the_size_of_its_group(engine: Native):
    few, many = (play(Sample(group=g, decoding=DECODING), engine)[0][0] for g in (2, 6))
    assert [t.turns[-1].text for t in few.trajectories] == [t.turns[-1].text for t in many.trajectories[:2]]


def test_problems_played_at_once_share_one_wave(engine: Native):
    engine = Native(engine.lm, engine="reference")
    before = engine.waves
    groups = play(Sample(group=3, decoding=DECODING), engine, count=4)
    assert engine.waves == before + 1
    assert [g.problem.id for (g,) in groups] == [f"chain_sum/train/{i}" for i in range(4)]


def test_greedy_attempts_are_all_the_same(engine: Native):
    (group,) = play(Sample(group=3, decoding=Decoding(max_tokens=6, temperature=0)), engine)[0]
    assert len({attempt.turns[-1].text for attempt in group.trajectories}) == 1


def test_another_model_and_group_name(engine: Native):
    (group,) = play(Sample(group=1, decoding=DECODING, model="other", name="guided"), engine)[0]
    assert group.name == "guided"


def test_no_attempts_are_refused():
    with pytest.raises(ValueError, match="group must be at least 1"):
        Sample(group=0)
