"""What two models solve at all, and where one overtakes the other."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whet.metrics.coverage import Coverage, coverage, crossing

NAN = math.nan


def test_problems_are_counted_by_who_solves_them_at_least_once() -> None:
    base, tuned = [0.1, 0.9, 0.2, 0.0, 0.0], [0.0, 1.0, 0.5, 0.3, 0.0]  # {1, 2, 3} and {2, 3, 4} of five
    assert coverage(base, tuned) == Coverage(both=2, gained=1, lost=1, neither=1, p=1.0)


def test_the_p_is_that_of_a_fair_coin_over_the_problems_that_only_one_solves() -> None:
    found = coverage([0.0] * 6 + [1.0], [0.5] * 6 + [1.0])
    assert (found.gained, found.lost) == (6, 0) and found.p == pytest.approx(2 / 2**6)
    assert math.isnan(coverage([1.0, 0.0], [1.0, 0.0]).p)


def test_what_one_side_does_not_know_is_left_out_and_seeds_have_no_p() -> None:
    found = coverage([[0.0, NAN, 1.0], [0.0, 0.0, 1.0]], [[1.0, 1.0, NAN], [1.0, 0.0, 1.0]])
    assert (found.both, found.gained, found.lost, found.neither) == (1, 2, 0, 1) and math.isnan(found.p)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1))
def test_every_problem_is_counted_once_and_sides_may_change_places(pairs: list[tuple[float, float]]) -> None:
    first, second = (list(side) for side in zip(*pairs, strict=True))
    there, back = coverage(first, second), coverage(second, first)
    assert there.both + there.gained + there.lost + there.neither == len(pairs)
    assert (there.both, there.gained, there.neither) == (back.both, back.lost, back.neither)


def test_the_crossing_is_where_the_lower_curve_has_caught_up() -> None:
    base, tuned = {1: 0.2, 4: 0.5, 64: 0.9}, {1: 0.5, 4: 0.6, 64: 0.8}
    assert crossing(base, tuned) == 64
    assert crossing(tuned, base) is None  # it was never below before that
    assert crossing({1: 0.2, 2: 0.3}, {1: 0.4, 2: 0.5}) is None
    assert crossing({1: 0.2, 2: 0.5, 8: 0.5}, {1: 0.4, 2: 0.5, 4: 0.1}) == 2


def test_shapes_that_differ_and_curves_without_a_common_k_are_refused() -> None:
    with pytest.raises(ValueError, match="same problems, got shapes"):
        coverage([1.0], [1.0, 0.0])
    with pytest.raises(ValueError, match="a k in common"):
        crossing({1: 0.5}, {2: 0.5})
