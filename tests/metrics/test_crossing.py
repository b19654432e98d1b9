"""From which k on one curve has caught up, and how sure that is."""

from __future__ import annotations

import math

import numpy as np
import pytest

from whet.metrics.crossing import Crossing, crossing_between
from whet.metrics.passk import pass_at_k, pass_curve


def test_curves_that_are_alike_for_every_problem_cross_surely() -> None:
    base = {1: [0.2] * 4, 4: [0.5] * 4, 64: [0.9] * 4}
    tuned = {1: [0.5] * 4, 4: [0.6] * 4, 64: [0.8] * 4}
    assert crossing_between(base, tuned) == Crossing(64, 64.0, 64.0, 1.0)
    assert crossing_between(tuned, base) == Crossing(None, math.inf, math.inf, 0.0)


def test_the_interval_holds_the_point_and_goes_beyond_all_k_where_they_need_not_cross() -> None:
    rng = np.random.default_rng(0)
    right, other = rng.integers(0, 40, 60), rng.integers(0, 65, 60)  # many problems the second never solves
    other[:12] = 0
    curves = [{k: pass_at_k(64, c, k) for k in (1, 2, 4, 8, 16, 32, 64)} for c in (right, other)]
    found = crossing_between(curves[0], curves[1])
    assert found.k is not None and found.low <= found.k <= found.high and 0 < found.share <= 1
    rising = {k: np.array([0.1 * k, 0.2 * k, 0.3, 0.3]) for k in (1, 2)}
    level = {k: np.full(4, 0.25) for k in (1, 2)}
    assert crossing_between(rising, level).high == math.inf


def test_seeds_are_drawn_too_and_what_is_unknown_is_left_out() -> None:
    low = np.full((3, 8), 0.2)
    low[0, 0] = np.nan
    base, tuned = {1: low, 2: np.ones((3, 8))}, {1: np.full((3, 8), 0.4), 2: np.ones((3, 8))}
    assert crossing_between(base, tuned) == Crossing(2, 2.0, 2.0, 1.0)


def test_curves_of_other_problems_are_refused() -> None:
    with pytest.raises(ValueError, match="a k in common"):
        crossing_between({1: [0.1]}, {2: [0.1]})
    with pytest.raises(ValueError, match="same problems"):
        crossing_between({1: [0.1]}, {1: [0.1, 0.2]})


def test_a_whole_curve_is_pass_at_every_k() -> None:
    attempts, right = np.array([8, 8, 5]), np.array([0, 3, 5])
    curve = pass_curve(attempts, right, 5)
    assert curve.shape == (3, 5)
    for k in range(1, 6):
        assert np.allclose(curve[:, k - 1], pass_at_k(attempts, right, k), atol=1e-15)
    with pytest.raises(ValueError, match="needs at least 6 attempts"):
        pass_curve(attempts, right, 6)
