from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whet.rewards.repetition import RepetitionPenalty
from whet.types import Group


def test_the_share_of_repeated_ngrams_is_taken_away(ids: Callable[..., Group]):
    group = ids([1, 2, 1, 2, 1], [1, 2, 3, 4, 5], [7, 7, 7, 7, 7])
    assert RepetitionPenalty(size=2)(group).tolist() == pytest.approx([-0.5, 0, -0.75])
    assert RepetitionPenalty(size=2, weight=2)(group).tolist() == pytest.approx([-1, 0, -1.5])


def test_short_attempts_lose_nothing(ids: Callable[..., Group]):
    assert RepetitionPenalty(size=3)(ids([], [1], [1, 1], [1, 1, 1])).tolist() == [0, 0, 0, 0]


def test_an_ngram_never_spans_what_was_not_sampled(ids: Callable[..., Group]):
    assert RepetitionPenalty(size=2)(ids([1, 2, -9, 1, 2])).tolist() == [-0.5]
    assert RepetitionPenalty(size=2)(ids([1, -9, 1, -9, 1])).tolist() == [0]
    assert RepetitionPenalty(size=2)(ids(([1, 2], [1, 2]))).tolist() == [-0.5]


def test_what_others_wrote_is_not_held_against_the_model(ids: Callable[..., Group]):
    assert RepetitionPenalty(size=2)(ids([-7, -7, -7, -7, 1, 2, 3])).tolist() == [0]


@given(tokens=st.lists(st.integers(0, 3), max_size=30), size=st.integers(1, 5))
def test_it_lies_between_minus_weight_and_zero(ids: Callable[..., Group], tokens: list[int], size: int):
    (value,) = RepetitionPenalty(size=size)(ids(tokens)).tolist()
    ngrams = [tuple(tokens[i : i + size]) for i in range(len(tokens) - size + 1)]
    assert value == pytest.approx(-(1 - len(set(ngrams)) / len(ngrams)) if ngrams else 0)
    assert -1 < value <= 0


@pytest.mark.parametrize("wrong", [{"size": 0}, {"weight": -1}])
def test_senseless_settings_are_refused(wrong: dict[str, float]):
    with pytest.raises(ValueError, match=f"RepetitionPenalty.{next(iter(wrong))}"):
        RepetitionPenalty(**wrong)
