"""What the arms of RAIF differ in, and what its reward pays."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from helpers.examples import attempt, row

from whet.filters.everything import everything
from whet.filters.worth_thinking import WorthThinking
from whet.launch import Order, find
from whet.objectives.clip import Clip
from whet.objectives.likelihood import Likelihood
from whet.objectives.with_kl import WithKL
from whet.recipes.raif import answering, recipe, thinking
from whet.rollouts.beside import Beside
from whet.rollouts.shown import Shown
from whet.scoring import totals
from whet.settings import put_arms
from whet.types import Group, Problem, Trajectory, Turn
from whet.weightings.of_groups import OfGroups

STAGES: dict[str, Any] = {arm: stages[0] for arm, stages in recipe.arms.items()}
TWO = Problem(
    "p",
    "has cat; has dog",
    {
        "constraints": [{"type": "include", "keywords": ["cat"]}, {"type": "include", "keywords": ["dog"]}],
        "instruction": "has cat; has dog",
        "quote": 2,
    },
)


def said(text: str) -> Group:
    tried = attempt(row([1, 2], [0, 1]))
    return Group(TWO, (Trajectory(TWO, tried.rows, (Turn("policy", text, 0, 1, 2),), "eos"),))


def paid(reward: Any, text: str) -> float:
    return float(totals(asyncio.run(reward({}, said(text))))[0])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("<think>a</think><answer>cat red dog</answer>", 3.0),  # 1 + 2
        ("<think>a</think><answer>cat</answer>", 1.5),  # 1 + 1 / 2
        ("<think>a</think><answer>red</answer>", -1.0),  # 1 - 2
        ("cat red dog", -3.0),  # a broken format
        ("<think></think><answer>cat red dog</answer>", -3.0),  # a blank thought is one
    ],
)
def test_the_reward_is_format_and_accuracy(text: str, value: float) -> None:
    assert paid(thinking, text) == value


def test_who_answers_at_once_is_paid_alike() -> None:
    assert paid(answering, "<think></think><answer>cat red dog</answer>") == 3.0


def test_met_is_judged_without_a_thought_too() -> None:
    scored = asyncio.run(thinking({}, said("<think></think><answer>cat red dog</answer>")))
    assert scored.terms["met"].tolist() == [2.0] and scored.terms["accuracy"].tolist() == [-2.0]


def test_all_arms_have_the_same_task_optimizer_objective_and_steps() -> None:
    own = STAGES["grpo"]
    for stage in STAGES.values():
        train = stage.train["policy"]
        assert train.objective == WithKL(Clip(low=0.2, high=0.2), coef=0.001, kind="k3")
        assert train.weighting == OfGroups(("direct",)) and train.lr == own.train["policy"].lr
        assert stage.task is own.task and (stage.steps, stage.problems) == (own.steps, own.problems)


def test_each_arm_adds_one_guard_to_the_one_before() -> None:
    grpo, filtered, raif = (STAGES[arm] for arm in ("grpo", "filtered", "raif"))
    assert grpo.filter is everything and filtered.filter == raif.filter == WorthThinking("met")
    assert filtered.rollout == Beside(grpo.rollout, filtered.rollout.other) and not filtered.rollout.other.trained
    assert raif.rollout == Shown(filtered.rollout) and filtered.train == grpo.train
    clone = raif.train["policy"].auxiliary["clone"]
    assert clone.objective == Likelihood() and clone.weighting == OfGroups(("shown",)) and clone.weight == 1.0


def test_the_values_for_large_models_find_their_place() -> None:
    arms = put_arms(find(Order("raif")).arms, recipe.at_scale)
    stage: Any = arms["raif"][0]
    assert stage.rollout.rollout.rollout.decoding.max_tokens == 8192
