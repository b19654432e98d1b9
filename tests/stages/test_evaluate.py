"""Evaluations whose outcome is known beforehand."""

from __future__ import annotations

import asyncio
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.examples import attempt, group, row, scored
from helpers.model_small import shaken
from helpers.runs import SMALL, Listed, go, sums

from whet.models.derived import Start
from whet.rewards.fluency import Fluency
from whet.rollouts.sample import Sample
from whet.run import Run
from whet.scoring import Weighted
from whet.stages.evaluate import Evaluate
from whet.stages.sft import SFT
from whet.types import Decoding, Group, Problem

attempts = Sample(group=4, decoding=Decoding(max_tokens=3))


def first_right(group: Group) -> torch.Tensor:
    """As many right attempts as the problem's answer says."""
    return torch.tensor([float(i < int(group.problem.answer)) for i in range(len(group.trajectories))])


KNOWN = Listed(tuple(Problem(f"p{i}", f"{i}+1=", str(right)) for i, right in enumerate((0, 1, 2, 4))))
EVALUATION = Evaluate(task=KNOWN, rollout=attempts, reward=Weighted({"correct": first_right}), name="known")


def test_pass_at_k_is_what_one_computes_by_hand(tmp_path: Path) -> None:
    run = Run(tmp_path, 0, {"policy": shaken(SMALL)}, [EVALUATION])
    values = asyncio.run(_values(run))
    assert values["pass@1"].tolist() == [0, 0.25, 0.5, 1]
    assert values["pass@2"].tolist() == pytest.approx([0, 1 - 3 / 6, 1 - 1 / 6, 1])
    assert values["pass@4"].tolist() == [0, 1, 1, 1]
    assert values["length"].shape == (4,) and (values["length"] <= 3).all()


async def _values(run: Run) -> dict[str, np.ndarray]:
    run._begin(run.stages[0], None)
    return await EVALUATION.measure(run, run.models(), "test")


def test_what_is_found_is_written_with_problems_and_samples(tmp_path: Path) -> None:
    go(tmp_path, EVALUATION)
    found = json.loads((tmp_path / "evaluations" / "known.json").read_text())
    assert found["problems"] == ["p0", "p1", "p2", "p3"]
    assert found["correct"] == [[0, 0, 0, 0], [1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 1]]
    assert [sample["problem"] for sample in found["samples"]] == ["p0", "p1", "p2"]
    assert found["samples"][1]["prompt"] == "1+1=" and found["samples"][1]["reward"] == 1
    assert found["terms"] == {"reward": found["correct"], "correct": found["correct"]}
    assert not (tmp_path / "metrics.jsonl").exists()


def test_evaluations_of_the_same_model_at_any_time_are_the_same_and_can_be_paired(tmp_path: Path) -> None:
    go(tmp_path, *(replace(EVALUATION, name=name) for name in ("before", "after")))
    before, after = ((tmp_path / "evaluations" / f"{name}.json").read_text() for name in ("before", "after"))
    assert before == after


def test_the_first_problems_are_taken_and_no_more_than_there_are(tmp_path: Path) -> None:
    for asked, played in ((2, 2), (100, 4)):
        go(tmp_path / str(asked), replace(EVALUATION, problems=asked))
        found = json.loads((tmp_path / str(asked) / "evaluations" / "known.json").read_text())
        assert found["problems"] == [f"p{i}" for i in range(played)]


def test_no_verdict_and_failed_tools_are_no_wrong_answers() -> None:
    three = [attempt(row([1, 2], [0, 1])) for _ in range(3)]
    failed = replace(three[2], stop="error")
    one = scored(group(three[0], three[1], failed), [1.0, float("nan"), 0.0])
    correct, lengths = EVALUATION.judge([one])
    assert np.array_equal(correct, [[1, np.nan, np.nan]], equal_nan=True)
    assert lengths.tolist() == [[1, 1, 1]]


def test_a_term_that_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match=r"Evaluate\.correct names no term: 'right' .* \['correct'\]"):
        replace(EVALUATION, correct="right").judge([scored(group(attempt(row([1, 2], [0, 1]))), [1.0])])


def test_every_prompt_that_does_not_fit_is_found_before_any_work(tmp_path: Path) -> None:
    task = Listed((*sums(3).problems, Problem("wide", "1+" * 40, "1")))
    with pytest.raises(ValueError, match=r"'wide' has 8. tokens and the context holds 64"):
        Run(tmp_path, 0, {"policy": shaken(SMALL)}, [replace(EVALUATION, task=task)]).check()
    with pytest.raises(ValueError, match=r"Evaluate\.problems must be at least 2"):
        replace(EVALUATION, problems=1)


def test_terms_are_written_with_their_weighted_sum_and_a_hole_where_nothing_is_known(tmp_path: Path) -> None:
    def unsure(group: Group) -> torch.Tensor:
        return torch.tensor([math.nan, 1.0, 2.0, 3.0])

    reward = Weighted({"correct": first_right, "unsure": unsure}, weights={"unsure": 0.5})
    go(tmp_path, replace(EVALUATION, reward=reward))
    terms = json.loads((tmp_path / "evaluations" / "known.json").read_text())["terms"]
    assert terms["unsure"] == [[None, 1, 2, 3]] * 4
    assert terms["reward"][2] == [None, 1.5, 1.0, 1.5]


def test_the_model_of_the_start_is_the_policy_before_any_stage(tmp_path: Path) -> None:
    """After training a text is as natural to it as it was before; to a copy made then it is not."""
    fluent = Weighted({"correct": first_right, "then": Fluency("start"), "now": Fluency("reference")})
    natural = replace(EVALUATION, reward=fluent, models={"start": Start()})
    train = SFT(sums(8), steps=3, problems=4)
    run = go(tmp_path, replace(natural, name="before"), train, replace(natural, name="after"))
    before, after = (
        json.loads((tmp_path / "evaluations" / f"{name}.json").read_text())["terms"] for name in ("before", "after")
    )
    assert before["then"] == before["now"]
    assert np.mean(after["then"]) < np.mean(after["now"])
    assert sorted(run.lms) == ["policy"]
