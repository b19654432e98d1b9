"""What the arms of CogniSQL-R1-Zero differ in, and what it pays for."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any

import pytest

from whet.examples import example_group
from whet.recipes.cognisql_r1_zero import BATCH, STEPS, questions, recipe, shaped, shown, thin
from whet.scoring import totals
from whet.tasks.splits import worked
from whet.types import Group, Problem, Turn

STAGES: dict[str, Any] = {arm: stages[-1] for arm, stages in recipe.arms.items()}
PROBLEM = questions.problem("train", 0)
GOLD = PROBLEM.info["sql"]


def said(problem: Problem, *answers: str) -> Group:
    attempts = zip(example_group(attempts=len(answers)).trajectories, answers, strict=True)
    return Group(problem, tuple(replace(t, turns=(Turn("policy", text, 0, 0, 1),)) for t, text in attempts))


def earned(reward: Any, *answers: str) -> list[float]:
    return totals(asyncio.run(reward({}, said(PROBLEM, *answers)))).tolist()


def test_right_rows_earn_1_and_tags_a_tenth_and_nothing_counts_without_tags() -> None:
    bare, half = f"<answer>{GOLD}</answer>", f"<think>use</think>{GOLD}"
    assert earned(thin, worked("use", GOLD), bare, half, GOLD, "") == pytest.approx([1.1, 0, 0, 0, 0])


def test_a_query_that_is_wrong_or_fails_has_the_tenth_for_its_tags_and_does_so_in_time() -> None:
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM n) SELECT COUNT(*) FROM n"
    wrong = ("SELECT 1", "SELECT", "SELECT nowhere FROM nothing", f"{GOLD}; DROP TABLE band", endless)
    started = time.monotonic()
    assert earned(thin, *(worked("use", query) for query in wrong)) == pytest.approx([0.1] * len(wrong))
    assert time.monotonic() - started < 30
    assert earned(thin, worked("use", GOLD)) == pytest.approx([1.1])


def test_the_shaped_reward_also_pays_for_likeness_and_no_more_for_what_is_right() -> None:
    right, near, far = earned(shaped, worked("use", GOLD), worked("use", f"{GOLD} LIMIT 0"), worked("use", "no"))
    assert right == pytest.approx(1.6) and far == pytest.approx(0.1) and 0.3 < near < 0.6
    assert earned(shaped, GOLD) == [0.0]


def test_all_arms_see_as_many_questions_in_as_many_steps() -> None:
    assert {(stage.steps, stage.problems) for stage in STAGES.values()} == {(STEPS, BATCH)}
    assert {STAGES[arm].task for arm in ("thin", "shaped", "positives", "sft-clean")} == {questions}
    assert STAGES["sft"].task is shown and STAGES["sft"].train is STAGES["sft-clean"].train


def test_thin_and_shaped_differ_in_the_reward_alone() -> None:
    assert replace(STAGES["shaped"], reward=thin) == STAGES["thin"]


def test_what_is_retrained_is_taught_by_the_very_model_that_the_thin_reward_made() -> None:
    first, again = recipe.arms["positives"]
    assert [first] == list(recipe.arms["thin"]) and again is STAGES["positives"]
    assert STAGES["positives"].reward is thin and STAGES["positives"].train is STAGES["sft"].train


def test_four_in_ten_pairs_are_wrong_for_the_base_and_the_prompts_fit() -> None:
    made: Any = recipe.model
    assert shown.wrong == 0.4 and questions.wrong == 0.0 and made.stages[0].task is shown
    codec = made.model.build(0).codec
    for i in range(100):
        opened = codec.open(questions.problem("test", i), made.model.context)
        assert len(opened.rows[0]) + STAGES["thin"].rollout.decoding.max_tokens <= made.model.context
