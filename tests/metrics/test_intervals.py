"""Intervals cover what they say they cover, and p-values agree with scipy's."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from whet.metrics.intervals import Difference, Estimate, bootstrap, paired, sign_flip
from whet.randomness import generator


def coverage(draw, truth: float, interval, runs: int = 300) -> float:
    inside = 0
    for run in range(runs):
        found = interval(draw(generator(run, "simulated")))
        inside += found.low <= truth <= found.high
    return inside / runs


@pytest.mark.parametrize(
    ("draw", "truth"),
    [
        (lambda rng: rng.random(60) < 0.5, 0.5),
        (lambda rng: rng.random(60) < 0.03, 0.03),
        (lambda rng: rng.random(60) < 0.97, 0.97),
        (lambda rng: rng.binomial(8, rng.beta(0.3, 0.9, 60)) / 8, 0.25),
        (lambda rng: rng.normal(3, 2, 40), 3.0),
        (lambda rng: rng.exponential(5, 60), 5.0),
    ],
    ids=["half", "almost never", "almost always", "eight attempts", "normal", "skewed"],
)
def test_a_95_percent_interval_holds_the_truth_in_about_95_percent_of_runs(draw, truth: float):
    assert 0.90 <= coverage(draw, truth, lambda x: bootstrap(x, draws=400)) <= 0.995


def test_a_paired_interval_holds_the_true_difference():
    def draw(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        before = rng.beta(1, 3, 60)
        return rng.binomial(8, before) / 8, rng.binomial(8, before + 0.2 * (1 - before)) / 8

    assert 0.90 <= coverage(draw, 0.15, lambda x: paired(*x, draws=400, flips=100)) <= 0.995


def test_a_median_has_an_interval_too():
    found = coverage(
        lambda rng: rng.normal(0, 1, 41), 0.0, lambda x: bootstrap(x, lambda y: np.median(y, -1), draws=400), 100
    )
    assert found >= 0.88


def test_none_or_all_right_is_no_certainty():
    none, every = bootstrap(np.zeros(40)), bootstrap(np.ones(40))
    upper = float(stats.beta.ppf(0.975, 0.5, 40.5))
    assert none == Estimate(0.0, 0.0, upper)
    assert (every.value, every.high) == (1.0, 1.0)
    assert every.low == pytest.approx(1 - upper)
    assert 0.05 < upper < 0.07
    assert bootstrap([1.0]).low < 0.2


def test_few_rights_take_the_jeffreys_interval():
    found = bootstrap([1.0] * 3 + [0.0] * 37)
    assert (found.low, found.high) == pytest.approx(stats.beta.ppf([0.025, 0.975], 3.5, 37.5))


def test_equal_values_of_no_known_range_have_no_width_and_one_value_no_interval():
    assert bootstrap([7.0] * 5) == Estimate(7.0, 7.0, 7.0)
    one = bootstrap([7.0])
    assert one.value == 7.0
    assert math.isnan(one.low)
    assert math.isnan(one.high)


def test_unknown_values_are_left_out():
    x = [0.5, 3.0, 1.0, 2.0, 4.0]
    assert bootstrap([*x, math.nan]) == bootstrap(x)
    assert paired([*x, math.nan, 1.0], [*x[::-1], 9.0, math.nan]) == paired(x, x[::-1])
    assert math.isnan(bootstrap([math.nan]).value)
    assert math.isnan(paired([math.nan], [1.0]).p)


def test_the_same_seed_gives_the_same_interval():
    x = np.arange(30.0)
    assert bootstrap(x, seed=1) == bootstrap(x, seed=1)
    assert bootstrap(x, seed=1) != bootstrap(x, seed=2)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([0.0] * 12, [1.0] * 9 + [0.0] * 3),
        ([0.1, 0.5, 0.3, 0.2, 0.7, 0.4, 0.9, 0.6], [0.4, 0.6, 0.2, 0.5, 0.8, 0.9, 0.85, 0.7]),
        ([1.0, 2.0, 3.0], [2.5, 2.0, 4.0]),
    ],
)
def test_p_is_that_of_scipys_exact_permutation_test(before: list[float], after: list[float]):
    theirs = stats.permutation_test(
        (np.array(after), np.array(before)),
        lambda x, y, axis: (x - y).mean(axis),
        permutation_type="samples",
        n_resamples=10_000,
    )
    assert paired(before, after).p == pytest.approx(theirs.pvalue, rel=1e-9)


def test_p_of_right_and_wrong_is_mcnemars_exact_test():
    before, after = np.array([0] * 30 + [1] * 5 + [1] * 50), np.array([1] * 30 + [0] * 5 + [1] * 50)
    assert paired(before, after).p == pytest.approx(stats.binomtest(5, 35).pvalue)


def test_a_drawn_p_is_near_the_exact_one():
    rng = generator(0, "test")
    d = rng.normal(0.4, 1, 14)
    exact = sign_flip(d)
    more = np.concatenate([d, [1e-9] * 3])  # too many to count, and no different
    assert 0.005 < exact < 0.2
    assert sign_flip(more) == pytest.approx(exact, abs=0.01)


def test_without_any_effect_p_is_spread_evenly():
    found = np.array([sign_flip(generator(run, "null").normal(size=30), flips=400) for run in range(300)])
    assert (found <= 0.05).mean() == pytest.approx(0.05, abs=0.04)
    assert found.mean() == pytest.approx(0.5, abs=0.06)


def test_no_change_is_a_difference_of_0_that_is_not_sure():
    found = paired([0.0] * 40, [0.0] * 40)
    assert found.value == 0.0
    assert found.p == 1.0
    assert -0.1 < found.low < 0 < found.high < 0.1


def test_a_change_everywhere_is_near_1():
    found = paired([0.0] * 40, [1.0] * 40)
    assert found.value == found.high == 1.0
    assert 0.85 < found.low < 1.0
    assert found.p == pytest.approx(2 * 0.5**40)


def test_sides_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="same problems"):
        paired([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="one value per problem"):
        bootstrap(np.zeros((3, 2)))
    with pytest.raises(ValueError, match="level must lie between 0 and 1"):
        bootstrap([1.0, 0.0], level=95)
    with pytest.raises(ValueError, match="draws must be at least 100"):
        bootstrap([1.0, 0.0], draws=0)


VALUES = st.lists(st.floats(-100, 100), min_size=2, max_size=25)


@settings(max_examples=40, deadline=None)
@given(VALUES)
def test_an_interval_holds_its_value_and_lies_within_the_data(values: list[float]):
    found = bootstrap(values, draws=200)
    assert found.low <= found.value + 1e-9
    assert found.value <= found.high + 1e-9
    if not all(0 <= value <= 1 for value in values):
        assert min(values) - 1e-9 <= found.low
        assert found.high <= max(values) + 1e-9


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=1, max_size=30))
def test_before_and_after_exchanged_change_the_sign_only(pairs: list[tuple[int, int]]):
    before, after = (np.array(side) / 8 for side in zip(*pairs, strict=True))
    there, back = paired(before, after, draws=200, flips=200), paired(after, before, draws=200, flips=200)
    assert back.value == -there.value
    assert back.p == pytest.approx(there.p, abs=0.12 if len(pairs) > 14 else 1e-12)
    assert isinstance(there, Difference)
    assert -1 <= there.low <= there.value <= there.high <= 1


@settings(max_examples=40, deadline=None)
@given(VALUES, st.floats(0.5, 20))
def test_p_knows_no_unit(values: list[float], factor: float):
    rounded = np.round(values, 2)
    assert sign_flip(rounded * factor, flips=200) == pytest.approx(sign_flip(rounded, flips=200), abs=1e-6)
