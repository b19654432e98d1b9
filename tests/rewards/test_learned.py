"""A reward model as a reward term: what it reads, how its scores are scaled, and how it fails."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.model_small import play, shaken
from helpers.runs import SMALL, go, sums

from whet.engines.native import Native
from whet.models.lm import LM
from whet.models.tiny import TinyQwen
from whet.objectives.clip import Clip
from whet.rewards.learned import LearnedReward
from whet.rollouts.sample import Sample
from whet.scoring import Weighted
from whet.stages.learning import Train
from whet.stages.rl import RL
from whet.types import Decoding, Group, Trajectory


@pytest.fixture(scope="module")
def model() -> LM:
    lm = shaken(SMALL, 3).add_value_head()
    assert lm.value_head is not None
    with torch.no_grad():
        lm.value_head.weight.copy_(torch.randn(1, 32, generator=torch.Generator().manual_seed(0)))
        lm.value_head.bias.fill_(0.25)
    return lm


@pytest.fixture(scope="module")
def group() -> Group:
    attempts = play(Native(shaken(SMALL)), ["1+2="] * 4, Decoding(max_tokens=9))
    return Group(attempts[0].problem, tuple(attempts))


def values(term: LearnedReward, lm: LM, group: Group) -> list[float]:
    return asyncio.run(term({"reward": Native(lm, name="reward")}, group)).tolist()


def score(lm: LM, tokens: torch.Tensor) -> float:
    """The head on the last state of these tokens, by transformers alone."""
    assert lm.value_head is not None
    return lm.value_head(lm.hf.base_model(input_ids=tokens[None]).last_hidden_state[0, -1]).item()


def test_the_score_is_the_head_on_what_stands_before_the_last_sampled_token(model: LM, group: Group) -> None:
    expected = [score(model, t.rows[0].tokens[:-1]) for t in group.trajectories]
    assert len(set(expected)) == 4
    assert values(LearnedReward(), model, group) == pytest.approx(expected, abs=1e-5)


def test_what_the_environment_says_in_the_end_is_not_read(model: LM, group: Group) -> None:
    engine = Native(shaken(SMALL))
    heard = replace(group, trajectories=tuple(engine.insert(t, "well done") for t in group.trajectories))
    assert values(LearnedReward(), model, heard) == pytest.approx(values(LearnedReward(), model, group), abs=1e-5)


def test_of_several_rows_the_last_is_read(model: LM, group: Group) -> None:
    engine = Native(shaken(SMALL))

    async def again(t: Trajectory) -> Trajectory:
        return await engine.extend(engine.reopen(t, t.rows[0].tokens[:3].tolist()), Decoding(5), 1)

    longer = tuple(asyncio.run(again(t)) for t in group.trajectories)
    expected = [score(model, t.rows[1].tokens[:-1]) for t in longer]
    assert values(LearnedReward(), model, replace(group, trajectories=longer)) == pytest.approx(expected, abs=1e-5)


def test_scores_are_standardised_and_then_clipped(model: LM, group: Group) -> None:
    raw = values(LearnedReward(), model, group)
    scaled = [(r - 0.5) / 2 for r in raw]
    assert values(LearnedReward(mean=0.5, std=2.0), model, group) == pytest.approx(scaled, abs=1e-6)
    bound = sorted(abs(s) for s in scaled)[1]
    found = values(LearnedReward(mean=0.5, std=2.0, clip=bound), model, group)
    assert found == pytest.approx([max(-bound, min(bound, s)) for s in scaled], abs=1e-6)
    assert sum(abs(f) == pytest.approx(bound) for f in found) == 3


def test_a_score_that_is_not_finite_is_no_verdict(group: Group) -> None:
    broken = shaken(SMALL).add_value_head()
    assert broken.value_head is not None
    with torch.no_grad():
        broken.value_head.bias.fill_(math.inf)
    assert all(math.isnan(value) for value in values(LearnedReward(clip=1.0), broken, group))


def test_a_model_that_is_not_there_or_has_no_head_is_named(model: LM, group: Group) -> None:
    with pytest.raises(ValueError, match=r"asks 'reward', the run has \['judge'\]"):
        asyncio.run(LearnedReward()({"judge": Native(model)}, group))
    with pytest.raises(ValueError, match="reward 'learned' on problem '0': model 'reward' has no value head"):
        asyncio.run(Weighted({"learned": LearnedReward()})({"reward": Native(shaken(SMALL), name="reward")}, group))


def test_a_reward_model_with_another_tokenizer_is_refused_before_any_work(tmp_path: Path) -> None:
    stage = RL(
        sums(3),
        Sample(group=2),
        Weighted({"learned": LearnedReward()}),
        train={"policy": Train(Clip())},
        models={"reward": TinyQwen(width=32, layers=2, context=64, alphabet="0123456789+=")},
    )
    with pytest.raises(ValueError, match=r"reward\.terms\.learned\.model asks 'reward' to score the policy's tokens"):
        go(tmp_path, stage)
    with pytest.raises(ValueError, match="names the model 'reward'"):
        go(tmp_path, replace(stage, models={}))


@pytest.mark.parametrize("fields", [{"std": 0.0}, {"clip": -1.0}])
def test_scales_that_make_no_sense_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be above 0"):
        LearnedReward(**fields)
