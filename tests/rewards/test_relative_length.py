"""Penalties for being longer than the other attempts at the same problem."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from whet.rewards.relative_length import RelativeLength, StandardisedLength
from whet.types import Group

NAN = math.nan


def said(*values: float) -> Callable[[Group], Tensor]:
    return lambda group: torch.tensor(values)


def lengths(ids: Callable[..., Group], *counts: int) -> Group:
    return ids(*([5] * count for count in counts))


def values(term: RelativeLength | StandardisedLength, group: Group) -> list[float]:
    return asyncio.run(term(group)).tolist()


def test_the_shortest_gains_and_the_longest_pays_and_a_wrong_one_never_gains(ids: Callable[..., Group]):
    group = lengths(ids, 2, 4, 10, 2, 8)
    assert values(RelativeLength(said(1, 1, 1, 0, 0)), group) == pytest.approx([0.5, 0.25, -0.5, 0, -0.25])


def test_equal_lengths_give_zero(ids: Callable[..., Group]):
    assert values(RelativeLength(said(1, 0, 1)), lengths(ids, 4, 4, 4)) == [0, 0, 0]
    assert values(RelativeLength(said(1)), lengths(ids, 4)) == [0]


def test_lengths_are_standardised_over_right_attempts_alone(ids: Callable[..., Group]):
    found = values(StandardisedLength(said(1, 0, 1, 1)), lengths(ids, 2, 99, 4, 6))  # mean 4, deviation 2
    assert found == pytest.approx([-1 / (1 + math.e), 0, -0.5, -1 / (1 + 1 / math.e)])


def test_without_a_spread_right_attempts_pay_half(ids: Callable[..., Group]):
    assert values(StandardisedLength(said(1, 0, 0)), lengths(ids, 7, 1, 9)) == [-0.5, 0, 0]
    assert values(StandardisedLength(said(1, 1, 0)), lengths(ids, 7, 7, 9)) == [-0.5, -0.5, 0]
    assert values(StandardisedLength(said(0, 0)), lengths(ids, 7, 9)) == [0, 0]


def test_no_verdict_stays_none(ids: Callable[..., Group]):
    for term in (RelativeLength(said(NAN, 1)), StandardisedLength(said(NAN, 1)), StandardisedLength(said(NAN, 0))):
        first, second = values(term, lengths(ids, 3, 5))
        assert math.isnan(first) and not math.isnan(second)
