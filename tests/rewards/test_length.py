from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from whet.rewards.length import CosineLength, LinearLength, SoftOverlong
from whet.schedule import Linear, at
from whet.types import Group, Judged


def lengths(ids: Callable[..., Group], *counts: int) -> Group:
    return ids(*([5] * count for count in counts))


def test_linear_length_falls_to_its_limit(ids: Callable[..., Group]):
    assert LinearLength(limit=10)(lengths(ids, 0, 5, 10, 99)).tolist() == [0, -0.5, -1, -1]
    assert LinearLength(limit=10, shortest=1, longest=0)(lengths(ids, 0, 5, 10)).tolist() == [1, 0.5, 0]


def test_only_sampled_tokens_count_over_all_rows(ids: Callable[..., Group]):
    group = ids(([5, 5, -1, -1, 5], [5, -1]))
    assert LinearLength(limit=8)(group).tolist() == [-0.5]


def test_soft_overlong_is_a_slope_before_the_limit(ids: Callable[..., Group]):
    group = lengths(ids, 0, 6, 7, 8, 10, 11, 50)
    assert SoftOverlong(limit=10, cache=4)(group).tolist() == [0, 0, -0.25, -0.5, -1, -1, -1]


def right(*said: float) -> Callable[[Group], Tensor]:
    return lambda group: torch.tensor(said)


def test_cosine_length_goes_from_short_to_long(ids: Callable[..., Group]):
    values = asyncio.run(CosineLength(right(1, 1, 1, 1), limit=8)(lengths(ids, 0, 4, 7, 8)))
    assert values.tolist() == pytest.approx([2, 1.5, 1 + (1 + math.cos(math.pi * 7 / 8)) / 2, -10])
    values = asyncio.run(CosineLength(right(0, 0, 0, 0), limit=8)(lengths(ids, 0, 4, 2, 9)))
    assert values.tolist() == pytest.approx([-10, -5, -10 * (1 + math.cos(math.pi / 4)) / 2, -10])


def test_cosine_length_takes_any_kind_of_term(ids: Callable[..., Group]):
    async def later(group: Group) -> Judged:
        return Judged(torch.tensor([1.0, 0.0]), ("right", "wrong"))

    def tokens(group: Group) -> list[Tensor]:
        return [torch.tensor([0.0, 0.5, 0.5]), torch.zeros(5)]

    for term in (later, tokens):
        assert asyncio.run(CosineLength(term, limit=8)(lengths(ids, 0, 0))).tolist() == [2, -10]


def test_no_verdict_stays_no_verdict(ids: Callable[..., Group]):
    values = asyncio.run(CosineLength(right(math.nan, math.nan), limit=8)(lengths(ids, 4, 9)))
    assert values.isnan().all()


def test_numbers_may_be_schedules(ids: Callable[..., Group]):
    term = LinearLength(limit=10, longest=Linear(0, -1, steps=10))
    assert at(term, 5)(lengths(ids, 10)).tolist() == [-0.5]
    assert at(SoftOverlong(limit=Linear(10, 20, steps=10), cache=4), 10)(lengths(ids, 18)).tolist() == [-0.5]  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    "made",
    [
        lambda: LinearLength(limit=0),
        lambda: CosineLength(right(1), limit=0),
        lambda: SoftOverlong(limit=10, cache=0),
        lambda: SoftOverlong(limit=10, cache=11),
    ],
)
def test_senseless_limits_are_refused(made: Callable[[], object]):
    with pytest.raises(ValueError, match=r"must be at (least|most)"):
        made()
