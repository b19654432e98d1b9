"""The best policy under a KL penalty, against sums over a distribution that is written out."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whet.metrics.tilted import most_moved, pinsker, tilted_kl, tilted_rate

rates = st.floats(0.001, 0.999)
betas = st.floats(0.05, 50.0)


@pytest.mark.parametrize(("p", "nats"), [(0.5, 0.1201145), (0.1, 0.0585651), (0.9, 0.0347017), (0.0, 0.0), (1.0, 0.0)])
def test_the_divergence_at_beta_1(p: float, nats: float) -> None:
    assert float(tilted_kl(p, 1.0)) == pytest.approx(nats, abs=5e-8)


def test_pinskers_value_lies_below() -> None:
    assert float(pinsker(0.5, 1.0)) == pytest.approx(0.1067761, abs=5e-8)
    assert float(pinsker(0.5, 1.0)) <= float(tilted_kl(0.5, 1.0))
    assert pinsker([0.0, 1.0], 1.0).tolist() == [0.0, 0.0]


def test_half_the_variance_is_no_lower_bound_at_a_finite_beta() -> None:
    p = np.array([0.5, 0.9])
    second = p * (1 - p) / 2
    assert second.tolist() == pytest.approx([0.125, 0.045])
    assert np.all(second > tilted_kl(p, 1.0))


@given(st.integers(0, 2**32 - 1), betas)
def test_it_is_the_sum_over_all_answers(seed: int, beta: float) -> None:
    rng = np.random.default_rng(seed)
    pi, right = rng.dirichlet(np.ones(12)), rng.random(12) < 0.4
    best = pi * np.exp(right / beta)
    best /= best.sum()
    p = pi[right].sum()
    assert float(tilted_rate(p, beta)) == pytest.approx(best[right].sum(), abs=1e-12)
    assert float(tilted_kl(p, beta)) == pytest.approx((pi * np.log(pi / best)).sum(), abs=1e-10)
    assert float(pinsker(p, beta)) == pytest.approx(2 * (np.abs(best - pi).sum() / 2) ** 2, abs=1e-12)


@given(rates, betas)
def test_the_bound_holds(p: float, beta: float) -> None:
    assert 0 < float(pinsker(p, beta)) <= float(tilted_kl(p, beta)) * (1 + 1e-9)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_a_strong_penalty_leaves_half_the_variance(p: float) -> None:
    beta = 1e5
    assert float(tilted_kl(p, beta)) == pytest.approx(p * (1 - p) / (2 * beta**2), rel=1e-4)


def test_a_weak_penalty_overflows_nowhere() -> None:
    p = [0.0, 1e-9, 0.5, 1.0]
    assert tilted_rate(p, 1e-4).tolist() == [0.0, 1.0, 1.0, 1.0]
    assert tilted_kl(p, 1e-4).tolist() == pytest.approx([0.0, 1e4 + math.log(1e-9), 5e3 - math.log(2), 0.0])
    assert pinsker(p, 1e-4).tolist() == pytest.approx([0.0, 2.0, 0.5, 0.0])


@given(betas)
def test_problems_a_little_harder_than_half_and_half_move_most(beta: float) -> None:
    p, at = np.linspace(0.0, 1.0, 2001), float(most_moved(beta))
    assert 0 < at < 0.5
    assert abs(p[tilted_kl(p, beta).argmax()] - at) < 1e-3
    assert np.all(tilted_kl(p, beta) <= tilted_kl(at, beta) + 1e-12)


def test_where_most_is_moved() -> None:
    assert float(most_moved(1.0)) == pytest.approx(0.4180233, abs=5e-8)
    assert float(most_moved(1e6)) == pytest.approx(0.5, abs=1e-6)
    assert float(most_moved(0.01)) == pytest.approx(0.01)
    assert float(most_moved(1 / 0.00999999)) == pytest.approx(float(most_moved(1 / 0.01000001)), abs=1e-8)


def test_arrays_broadcast() -> None:
    assert tilted_kl([[0.2], [0.5]], [1.0, 2.0, 3.0]).shape == (2, 3)
    assert tilted_kl(np.zeros(0), 1.0).shape == (0,)


@pytest.mark.parametrize(
    ("p", "beta", "said"),
    [
        (1.1, 1.0, r"\[0, 1\], got 1.1"),
        (math.nan, 1.0, "got nan"),
        (0.5, 0.0, "positive and finite, got 0.0"),
        ([0.5, 0.6], [1.0, math.inf], "got inf"),
    ],
)
def test_what_is_no_rate_or_no_penalty_is_refused(p, beta, said: str) -> None:
    for function in (tilted_rate, tilted_kl, pinsker):
        with pytest.raises(ValueError, match=said):
            function(p, beta)
