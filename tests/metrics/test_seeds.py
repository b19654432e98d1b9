"""Intervals over seeds and problems."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from whet.metrics.seeds import needed, over_seeds, paired_seeds


def test_one_number_per_run_gives_about_the_t_interval() -> None:
    x = np.array([0.1, 0.3, 0.2, 0.5, 0.4, 0.2, 0.6, 0.1])
    low, high = stats.t.interval(0.95, 7, x.mean(), stats.sem(x))
    found = over_seeds(x[:, None])
    assert found.value == pytest.approx(0.3)
    assert found.low == pytest.approx(low, abs=0.02)
    assert found.high == pytest.approx(high, abs=0.02)


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    rng, hits, trials = np.random.default_rng(0), 0, 200
    for trial in range(trials):
        seeds, problems = rng.normal(0, 1, (5, 1)), rng.normal(0, 1, (1, 40))
        x = 3 + seeds + problems + rng.normal(0, 1, (5, 40))
        found = over_seeds(x, draws=500, seed=trial)
        hits += found.low <= 3 <= found.high
    assert 0.92 <= hits / trials <= 1.0


def test_where_only_problems_differ_few_seeds_do_not_widen_the_interval() -> None:
    problems = np.random.default_rng(0).normal(0, 1, 100)
    found = over_seeds(np.tile(problems, (3, 1)))
    half = stats.t.ppf(0.975, 99) * problems.std(ddof=1) / 10
    assert found.high - found.low == pytest.approx(2 * half, rel=0.08)


def test_one_seed_says_nothing_of_others() -> None:
    found = over_seeds([[1.0, 0.0, 1.0]])
    assert found.value == pytest.approx(2 / 3) and math.isnan(found.low) and math.isnan(found.high)


def test_what_is_not_known_is_left_out() -> None:
    assert over_seeds([[1.0, math.nan], [0.0, 1.0]]).value == pytest.approx(2 / 3)
    assert math.isnan(over_seeds([[math.nan], [math.nan]]).value)


def test_a_constant_difference_is_certain_and_p_is_as_small_as_eight_seeds_allow() -> None:
    before = np.arange(16.0).reshape(8, 2)
    found = paired_seeds(before, before + 2)
    assert (found.value, found.low, found.high) == (2, 2, 2)
    assert found.p == pytest.approx(2 / 256)


def test_shapes_that_do_not_pair_are_refused() -> None:
    with pytest.raises(ValueError, match="same seeds and problems"):
        paired_seeds(np.zeros((3, 2)), np.zeros((4, 2)))
    with pytest.raises(ValueError, match="seeds, problems"):
        over_seeds([1.0, 2.0])


def test_needed_is_the_least_number_that_settles() -> None:
    x = [1.0, -1.0, 1.5, -0.5]  # mean 0.25, std 1.19
    n = needed(x)
    assert n is not None
    mean, spread = float(np.mean(x)), float(np.std(x, ddof=1))
    assert stats.t.ppf(0.975, n - 1) * spread / math.sqrt(n) < mean
    assert stats.t.ppf(0.975, n - 2) * spread / math.sqrt(n - 1) >= mean
    assert needed(x, margin=0.25) is None
    assert needed([0.3]) is None


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=2, max_size=6), st.floats(-3, 3))
def test_shifting_all_values_shifts_the_interval(values: list[float], shift: float) -> None:
    x = np.array(values)[:, None]
    here, there = over_seeds(x, draws=200), over_seeds(x + shift, draws=200)
    assert there.low == pytest.approx(here.low + shift, abs=1e-6)
    assert here.low <= here.value <= here.high
