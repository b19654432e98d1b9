"""What the arms of KDRL differ in."""

from __future__ import annotations

from typing import Any

import pytest

from whet.launch import Order, find
from whet.models.pretrained import Pretrained
from whet.objectives.kl import KL
from whet.objectives.likelihood import Likelihood
from whet.recipes.kdrl import STEPS, recipe
from whet.schedule import at
from whet.settings import put_arms
from whet.weightings.failed import Failed
from whet.weightings.where import Where

STAGES: dict[str, Any] = {arm: stages[0] for arm, stages in recipe.arms.items()}


def test_all_arms_have_the_same_task_optimizer_attempts_and_steps() -> None:
    for stage in STAGES.values():
        train, own = stage.train["policy"], STAGES["grpo"].train["policy"]
        assert train.adamw == own.adamw and (train.lr, train.warmup, train.epochs) == (own.lr, own.warmup, own.epochs)
        assert stage.task is STAGES["grpo"].task and stage.reward is STAGES["grpo"].reward
        assert (stage.steps, stage.problems, stage.rollout.group) == (STEPS, 16, 8)
        assert stage.rollout.decoding is STAGES["grpo"].rollout.decoding


def test_only_those_that_have_a_teacher_ask_one_and_it_is_frozen() -> None:
    for arm, stage in STAGES.items():
        asked = [(track.model, track.track, track.temperature) for track in stage.tracks]
        assert asked == ([] if arm in ("grpo", "sft") else [("teacher", "teacher", 1.0)])
        assert set(stage.models) == (set() if arm == "grpo" else {"teacher"})
        assert stage.trains() == ["policy"]


def test_beta_is_constant_or_falls_and_the_mask_is_of_groups() -> None:
    def beside(arm: str, step: int):
        return at(STAGES[arm], step).train["policy"].auxiliary["teacher"]

    found = [beside("kdrl", step).weight for step in (0, STEPS // 2, STEPS, 3 * STEPS)]
    assert found == pytest.approx([0.05, 0.03, 0.01, 0.01])
    assert beside("kdrl-constant", 0).weight == beside("kdrl-constant", STEPS).weight == 0.02
    for arm in ("kdrl", "kdrl-constant", "kdrl-group-mask"):
        assert beside(arm, 0).objective == KL("k2", "teacher")
    assert beside("kdrl-group-mask", 0).weighting == Where("finished", Failed("correct", of="group"))


def test_distillation_alone_has_no_reward_in_it_and_imitation_takes_what_is_right() -> None:
    alone, imitation = STAGES["kd"].train["policy"], STAGES["sft"].train["policy"]
    assert alone.objective == KL("k2", "teacher") and not alone.auxiliary
    assert imitation.objective == Likelihood() and imitation.weighting == Where("correct")
    assert STAGES["sft"].rollout.model == imitation.rows == "teacher"


def test_at_scale_the_teacher_is_a_real_one() -> None:
    arms = put_arms(find(Order("kdrl")).arms, recipe.at_scale)
    assert isinstance(arms["kdrl"][0].models["teacher"], Pretrained) and not arms["grpo"][0].models
    assert arms["sft"][0].train["policy"].lr == 1e-6
