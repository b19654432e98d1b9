"""pass@k against counting every choice of k attempts."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whet.metrics.passk import pass_at_k


@pytest.mark.parametrize("n", [1, 2, 5, 7])
def test_it_is_the_share_of_choices_that_hold_a_right_attempt(n: int):
    for c in range(n + 1):
        for k in range(1, n + 1):
            right = [True] * c + [False] * (n - c)
            choices = [any(chosen) for chosen in combinations(right, k)]
            assert pass_at_k(n, c, k) == pytest.approx(sum(choices) / len(choices), abs=1e-15)


def test_small_numbers():
    assert pass_at_k([4, 4, 4], [0, 1, 4], 1).tolist() == [0.0, 0.25, 1.0]
    assert pass_at_k([4, 4, 4], [0, 1, 3], 2).tolist() == [0.0, 0.5, 1.0]
    assert pass_at_k([2, 4], 1, 2).tolist() == [1.0, 0.5]


def test_it_stays_exact_where_binomial_coefficients_overflow():
    assert pass_at_k(10_000, 1, 5_000) == pytest.approx(0.5, abs=1e-9)
    assert pass_at_k(10_000, 0, 10_000) == 0.0


@pytest.mark.parametrize(
    ("n", "c", "k", "said"),
    [
        (4, 2, 5, "pass@5 needs at least 5 attempts per problem, got 4"),
        ([8, 2], [1, 1], 4, "got 2"),
        (4, 2, 0, "k of at least 1, got 0"),
        (4, 5, 1, "between 0 and its attempts"),
        (4, -1, 1, "between 0 and its attempts"),
    ],
)
def test_impossible_counts_are_refused(n, c, k: int, said: str):
    with pytest.raises(ValueError, match=said):
        pass_at_k(n, c, k)


@given(st.integers(1, 200), st.data())
def test_it_is_a_probability_that_grows_with_k_and_with_right_attempts(n: int, data: st.DataObject):
    k, c = data.draw(st.integers(1, n)), data.draw(st.integers(0, n))
    value = float(pass_at_k(n, c, k))
    assert 0.0 <= value <= 1.0
    assert (value == 0.0) == (c == 0)
    assert c == n or value <= float(pass_at_k(n, c + 1, k)) + 1e-12
    assert k == n or value <= float(pass_at_k(n, c, k + 1)) + 1e-12
    assert float(pass_at_k(n, c, 1)) == pytest.approx(c / n)


def test_no_problems_give_no_values():
    assert pass_at_k(np.zeros(0), np.zeros(0), 3).shape == (0,)
