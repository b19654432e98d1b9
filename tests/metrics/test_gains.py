"""What of a gain was within reach before."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whet.bounds import Above
from whet.metrics.gains import CapabilityGain, Regression, SelfDistillation, gains

BEFORE = [
    [0, 0, 0, 1],  # newly solved, and reachable
    [0, 0, 0, 0],  # newly solved, and not
    [1, 1, 0, 0],  # solved before and after
    [1, 1, 1, 0],  # lost
    [0, 1, 0, 0],  # never solved
    [1, 0, 0, 0],  # newly solved, and reachable
]
AFTER = [[1, 1, 0, 0], [1, 1, 1, 1], [1, 1, 1, 0], [1, 0, 0, 0], [0, 0, 1, 0], [1, 1, 1, 1]]


def test_shares_by_hand():
    found = gains(BEFORE, AFTER)
    assert np.array_equal(found.distilled, [1, 0, math.nan, math.nan, math.nan, 1], equal_nan=True)
    assert np.array_equal(found.gained, [0, 1, math.nan, math.nan, math.nan, 0], equal_nan=True)
    assert found.lost.tolist() == [0, 0, 0, 1, 0, 0]
    assert np.nanmean(found.distilled) == pytest.approx(2 / 3)


def test_reach_is_within_the_first_k_attempts():
    assert np.nanmean(gains(BEFORE, AFTER, k=3).distilled) == pytest.approx(1 / 3)


def test_one_greedy_attempt_after_will_do():
    found = gains([[0, 1, 0], [0, 0, 0], [1, 1, 1]], [[1], [1], [0]])
    assert np.array_equal(found.distilled, [1, 0, math.nan], equal_nan=True) and found.lost.tolist() == [0, 0, 1]


def test_attempts_without_a_verdict_are_left_out():
    nan = math.nan
    found = gains([[nan, 0], [nan, nan], [1, nan]], [[1, nan], [1, 1], [nan, 0]])
    assert np.array_equal(found.gained, [1, nan, nan], equal_nan=True)
    assert np.array_equal(found.lost, [0, nan, 1], equal_nan=True)


@given(st.lists(st.tuples(*(st.lists(st.integers(0, 1), min_size=3, max_size=3),) * 2), min_size=1, max_size=9))
def test_what_is_newly_solved_is_either_distilled_or_gained(pairs: list[tuple[list[int], list[int]]]):
    found = gains([b for b, _ in pairs], [a for _, a in pairs])
    new = ~np.isnan(found.distilled)
    assert np.array_equal(new, ~np.isnan(found.gained))
    assert bool((found.distilled[new] + found.gained[new] == 1).all()) and not (new & (found.lost == 1)).any()


@pytest.fixture
def run(tmp_path: Path) -> Path:
    for when, correct in (("before", BEFORE), ("after", AFTER)):
        (tmp_path / "evaluations" / when).mkdir(parents=True)
        held = {"problems": [str(i) for i in range(len(correct))], "correct": correct, "lengths": correct}
        (tmp_path / "evaluations" / when / "test.json").write_text(json.dumps(held))
    return tmp_path


def test_measures_of_a_run_and_what_a_claim_makes_of_them(run: Path):
    share, gain, lost = SelfDistillation(), CapabilityGain(), Regression()
    assert np.nanmean(share(run)) == pytest.approx(2 / 3) and np.nanmean(gain(run)) == pytest.approx(1 / 3)
    assert np.mean(lost(run)) == pytest.approx(1 / 6)
    table = {"grpo": {share.name: np.stack([share(run)] * 3)}}
    (finding,) = Above("grpo", share, 0.5).judge(table)
    assert finding.difference.value == pytest.approx(2 / 3)


def test_names_tell_measures_apart():
    named = [
        SelfDistillation(),
        SelfDistillation(k=8),
        SelfDistillation(evaluation="far"),
        CapabilityGain(),
        Regression(),
    ]
    assert len({measure.name for measure in named}) == 5
    assert SelfDistillation(k=16).name == "self-distillation share (k=16)"


def test_what_can_not_be_compared_is_refused(run: Path):
    with pytest.raises(ValueError, match="same problems"):
        gains(BEFORE, AFTER[:2])
    with pytest.raises(ValueError, match=r"gains\.k must lie in 0 .. 4"):
        gains(BEFORE, AFTER, k=5)
    with pytest.raises(ValueError, match="let the recipe evaluate there"):
        SelfDistillation(evaluation="far")(run)
    file = run / "evaluations" / "after" / "test.json"
    file.write_text(file.read_text().replace('"0"', '"other"'))
    with pytest.raises(ValueError, match="other problems"):
        Regression()(run)
