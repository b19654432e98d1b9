"""Claims about one arm alone."""

import numpy as np
import pytest

from whet.bounds import Above, Below
from whet.metrics.measures import Final
from whet.metrics.seeds import over_seeds

score = Final("pass@1")


def table(middle: float, noise: float = 0.01) -> dict[str, dict[str, np.ndarray]]:
    """Eight seeds and twenty problems about a mean."""
    return {"a": {"pass@1": middle + noise * np.random.default_rng(0).standard_normal((8, 20))}}


@pytest.mark.parametrize(
    ("middle", "noise", "above", "below"),
    [
        (0.5, 0.01, "reproduced", "not reproduced"),
        (0.3, 0.01, "not reproduced", "reproduced"),
        (0.4, 0.2, "inconclusive", "inconclusive"),
        (0.0, 0.0, "not reproduced", "reproduced"),  # no spread at all
    ],
)
def test_an_arm_lies_above_or_below_a_number(middle: float, noise: float, above: str, below: str) -> None:
    values = table(middle, noise)
    (over,), (under,) = Above("a", score, 0.4).judge(values), Below("a", score, 0.4).judge(values)
    assert (over.verdict, under.verdict) == (above, below)
    assert over.statement == "a is above 0.4 in pass@1" and under.statement == "a is below 0.4 in pass@1"
    found = over_seeds(values["a"]["pass@1"])
    for one in (over, under):  # both show the arm's own mean with its interval
        assert one.threshold == 0.4 and one.difference.value == pytest.approx(found.value)
        assert one.difference.low <= one.difference.value <= one.difference.high
    assert over.difference.low == pytest.approx(found.low) and over.difference.high == pytest.approx(found.high)
    assert under.difference.high - under.difference.low == pytest.approx(found.high - found.low, rel=0.2)


def test_they_name_one_arm_and_one_measure() -> None:
    for claim in (Above("a", score, 0.4), Below("a", score, 0.4)):
        assert list(claim.arms()) == ["a"] and list(claim.measures()) == [score]


def test_bounds_that_are_none_are_refused() -> None:
    for wrong in (-0.1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="value must be"):
            Above("a", score, wrong)
    with pytest.raises(ValueError, match=r"Below\.value must be above 0, got 0"):
        Below("a", score, 0.0)
