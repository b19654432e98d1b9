"""Before, after and the difference between them."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from whet.metrics.evaluation import comparison, estimates, per_problem

NAN = math.nan


def test_each_problem_gets_its_pass_at_k_and_its_length():
    values = per_problem([[1, 0, 0, 0], [0, 0, 0, 0], [1, 1, 1, 0]], [[2, 4, 6, 8], [1, 1, 1, 1], [3, 3, 3, NAN]])
    assert list(values) == ["pass@1", "pass@2", "pass@4", "length"]
    assert values["pass@1"].tolist() == pytest.approx([0.25, 0.0, 0.75])
    assert values["pass@2"].tolist() == pytest.approx([0.5, 0.0, 1.0])
    assert values["pass@4"].tolist() == [1.0, 0.0, 1.0]
    assert values["length"].tolist() == [5.0, 1.0, 3.0]


def test_attempts_without_a_verdict_are_left_out():
    values = per_problem(torch.tensor([[1.0, 0.0, NAN, NAN], [1.0, 1.0, 0.0, NAN], [NAN] * 4]), ks=(1, 3))
    assert values["pass@1"].tolist() == pytest.approx([0.5, 2 / 3, NAN], nan_ok=True)
    assert values["pass@3"].tolist() == pytest.approx([NAN, 1.0, NAN], nan_ok=True)


def test_powers_of_two_up_to_the_attempts_are_taken():
    assert list(per_problem(np.zeros((2, 12)))) == ["pass@1", "pass@2", "pass@4", "pass@8"]
    assert list(per_problem(np.zeros((2, 1)))) == ["pass@1"]


@pytest.mark.parametrize(
    ("correct", "lengths", "ks", "said"),
    [
        ([[1, 0]], None, (4,), "pass@4 needs 4 attempts per problem, got 2"),
        ([[1, 0.5]], None, (), "1 .right., 0 .not. or NaN"),
        ([1, 0], None, (), r"\[problems, attempts\], got shape \(2,\)"),
        ([[1, 0]], [[1]], (), r"lengths must have the shape \(1, 2\)"),
    ],
)
def test_what_is_no_evaluation_is_refused(correct, lengths, ks, said: str):
    with pytest.raises(ValueError, match=said):
        per_problem(correct, lengths, ks)


def test_a_report_has_both_sides_and_their_difference():
    before = per_problem(np.zeros((20, 2)), np.full((20, 2), 8.0) + np.arange(20)[:, None])
    after = per_problem(np.ones((20, 2)), np.full((20, 2), 6.0) + np.arange(20)[:, None])
    report = comparison(before, after)
    assert list(report) == ["before", "after", "difference"]
    assert report["before"]["pass@1"]["value"] == 0.0
    assert report["after"]["pass@1"]["value"] == 1.0
    assert report["difference"]["pass@1"] == {
        "value": 1.0,
        "low": pytest.approx(0.86, abs=0.03),
        "high": 1.0,
        "p": pytest.approx(2 * 0.5**20),
    }
    assert report["difference"]["length"]["value"] == -2.0
    assert json.loads(json.dumps(report, allow_nan=False)) == report


def test_a_metric_of_one_side_has_no_difference_and_an_unknown_one_is_null():
    report = comparison(per_problem([[NAN, NAN]], ks=(1,)), per_problem([[1, 0]]))
    assert report["before"] == {"pass@1": {"value": None, "low": None, "high": None}}
    assert list(report["after"]) == ["pass@1", "pass@2"]
    assert report["difference"] == {"pass@1": {"value": None, "low": None, "high": None, "p": None}}
    assert math.isnan(estimates({"x": np.array([NAN])})["x"].value)


def test_sides_with_other_problems_are_refused():
    with pytest.raises(ValueError, match="same problems"):
        comparison(per_problem([[1]]), per_problem([[1], [0]]))
