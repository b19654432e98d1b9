"""The best of N samples against the KL-regularised optimum, on a table of eight replies."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whet.metrics.best_of import best_of_law, matching_beta, tilted_law
from whet.randomness import generator

LAW = np.array([0.05, 0.1, 0.1, 0.3, 0.15, 0.1, 0.12, 0.08])
RIGHT = np.array([1, 0, 1, 0, 0, 1, 0, 0.0])  # success .25


def test_success_of_the_best_of_four() -> None:
    assert best_of_law(LAW, RIGHT, 4)[RIGHT == 1].sum() == pytest.approx(0.68359375)


def test_a_hundred_thousand_draws_agree_with_the_law_within_sampling_error() -> None:
    random, draws, n = generator(0, "best of"), 100_000, 4
    said = random.choice(8, (draws, n), p=LAW)
    picked = said[np.arange(draws), RIGHT[said].argmax(1)]  # the first right one, else the first
    share = np.bincount(picked, minlength=8) / draws
    law = best_of_law(LAW, RIGHT, n)
    assert (np.abs(share - law) < 4 * np.sqrt(law * (1 - law) / draws)).all()
    right = RIGHT[picked] == 1
    given_right = np.bincount(picked[right], minlength=8) / right.sum()
    policy = LAW * RIGHT / 0.25
    assert (np.abs(given_right - policy) <= 4 * np.sqrt(policy * (1 - policy) / right.sum())).all()


def test_given_success_the_law_is_the_policys_own() -> None:
    law = best_of_law(LAW, RIGHT, 7)
    for side in (RIGHT == 1, RIGHT == 0):
        assert law[side] / law[side].sum() == pytest.approx(LAW[side] / LAW[side].sum())


def test_the_optimums_success_by_its_formula() -> None:
    e = math.exp(1 / 0.7)
    assert tilted_law(LAW, RIGHT, 0.7)[RIGHT == 1].sum() == pytest.approx(0.25 * e / (0.25 * e + 0.75))


def test_the_optimum_beats_every_other_law_on_its_objective() -> None:
    best, beta = tilted_law(LAW, RIGHT, 0.5), 0.5

    def value(law: np.ndarray) -> float:
        return float((law * RIGHT).sum() - beta * (law * np.log(law / LAW)).sum())

    others = generator(1, "laws").dirichlet(np.ones(8), 200)
    assert all(value(best) > value(other) for other in others)
    assert value(best) == pytest.approx(beta * math.log((LAW * np.exp(RIGHT / beta)).sum()))


@given(st.integers(2, 64), st.integers(0, 1000))
def test_for_the_matching_beta_both_are_one_law(n: int, seed: int) -> None:
    law = generator(seed, "law").dirichlet(np.ones(8))
    beta = matching_beta(float(law[RIGHT == 1].sum()), n)
    assert tilted_law(law, RIGHT, beta) == pytest.approx(best_of_law(law, RIGHT, n), abs=1e-9)


def test_one_sample_is_the_law_itself_and_an_infinite_penalty_too() -> None:
    assert best_of_law(LAW, RIGHT, 1) == pytest.approx(LAW)
    assert matching_beta(0.25, 1) == math.inf
    assert tilted_law(LAW, RIGHT, math.inf) == pytest.approx(LAW)


def test_more_than_two_rewards_are_ordered() -> None:
    law = best_of_law([0.5, 0.3, 0.2], [0.0, 1.0, 2.0], 2)
    assert law == pytest.approx([0.25, 0.39, 0.36])


def test_a_law_without_success_stays() -> None:
    law, none = np.array([0.5, 0.5, 0.0]), np.array([0.0, 0.0, 1.0])
    assert best_of_law(law, none, 5) == pytest.approx(law)
    assert tilted_law(law, none, 0.1) == pytest.approx(law)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: best_of_law(LAW, RIGHT, 0), "n of at least 1"),
        (lambda: best_of_law(LAW, RIGHT[:3], 2), "one shape"),
        (lambda: best_of_law(2 * LAW, RIGHT, 2), "sums to 1"),
        (lambda: tilted_law(LAW, RIGHT, 0.0), "above 0"),
        (lambda: matching_beta(0.0, 4), "0 < p < 1"),
    ],
)
def test_what_is_no_law_is_refused(make, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        make()
