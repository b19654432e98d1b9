"""What the arms of ToolRL differ in."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from whet.advantages.group_mean import GroupMean
from whet.recipes.toolrl import BATCH, GROUP, STEPS, few, recipe
from whet.rewards.tool_calls import CallMatch

STAGES: dict[str, Any] = {arm: stages[0] for arm, stages in recipe.arms.items()}


def test_the_arms_of_rl_differ_in_how_calls_are_graded_alone():
    fine = STAGES["fine"]
    assert fine.reward.terms["calls"] == CallMatch()
    for arm, calls in (("coarse", CallMatch("coarse")), ("fine-names", CallMatch(values=False))):
        terms = {**fine.reward.terms, "calls": calls}
        assert STAGES[arm] == replace(fine, reward=replace(fine.reward, terms=terms))


def test_there_is_no_kl():
    for arm in set(STAGES) - {"sft-longer"}:
        assert not STAGES[arm].tracks and not STAGES[arm].train["policy"].auxiliary
        assert STAGES[arm].advantage == GroupMean()


def test_sft_sees_the_same_requests_in_as_many_updates_of_as_many_rows():
    sft = STAGES["sft-longer"]
    assert all(stage.task is few for stage in STAGES.values())
    assert few.size("train") == STEPS * BATCH
    assert (sft.steps, sft.problems) == (STEPS, BATCH * GROUP)
    assert all(stage.steps == STEPS for stage in STAGES.values())


def test_no_call_of_the_test_is_asked_for_in_training():
    (test,) = recipe.evaluate
    asked, held_out = (
        {json.dumps(call) for i in range(count) for call in json.loads(str(task.problem(split, i).answer))}
        for task, split, count in ((few, "train", STEPS * BATCH), (test.task, test.split, test.problems))
    )
    assert len(asked) > 100 and len(held_out) > 100 and not asked & held_out
