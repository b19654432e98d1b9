from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from whet.rewards.length import CosineLength, Finished, LinearLength, PeakedLength, SoftOverlong
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


def test_peaked_length_is_greatest_at_its_target(ids: Callable[..., Group]):
    group = lengths(ids, 0, 25, 50, 75, 100)
    assert asyncio.run(PeakedLength(0.5, 100)(group)).tolist() == [0, 0.75, 1, 0.5, -1]
    skewed = asyncio.run(PeakedLength(0.2, 10)(lengths(ids, 0, 1, 2, 6, 10)))
    assert skewed.tolist() == pytest.approx([0, 0.75, 1, 0.5, -1])


def test_peaked_length_beyond_the_limit_is_as_at_the_limit(ids: Callable[..., Group]):
    assert asyncio.run(PeakedLength(0.5, 10)(lengths(ids, 10, 11, 500))).tolist() == [-1, -1, -1]


def test_peaked_length_pays_only_what_is_earned(ids: Callable[..., Group]):
    group = lengths(ids, 0, 50, 75, 100, 100, 50)
    earned = right(0, 0, 1, 0, 1, math.nan)
    values = asyncio.run(PeakedLength(0.5, 100, earned)(group)).tolist()
    assert values[:5] == [0, 0, 0.5, -1, -1]
    assert math.isnan(values[5])


def test_what_was_cut_off_is_not_finished(ids: Callable[..., Group]):
    group = lengths(ids, 3, 4, 5, 6)
    stops = ("eos", "length", "stop", "env")
    ended = tuple(replace(t, stop=stop) for t, stop in zip(group.trajectories, stops, strict=True))
    assert Finished()(replace(group, trajectories=ended)).tolist() == [1, 0, 1, 1]


def test_no_verdict_stays_no_verdict(ids: Callable[..., Group]):
    values = asyncio.run(CosineLength(right(math.nan, math.nan), limit=8)(lengths(ids, 4, 9)))
    assert values.isnan().all()


def test_numbers_may_be_schedules(ids: Callable[..., Group]):
    term = LinearLength(limit=10, longest=Linear(0, -1, steps=10))
    assert at(term, 5)(lengths(ids, 10)).tolist() == [-0.5]
    assert asyncio.run(at(PeakedLength(Linear(0.2, 0.5, steps=10), 10), 10)(lengths(ids, 5))).tolist() == [1]
    assert at(SoftOverlong(limit=Linear(10, 20, steps=10), cache=4), 10)(lengths(ids, 18)).tolist() == [-0.5]  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    "made",
    [
        lambda: LinearLength(limit=0),
        lambda: CosineLength(right(1), limit=0),
        lambda: SoftOverlong(limit=10, cache=0),
        lambda: SoftOverlong(limit=10, cache=11),
        lambda: PeakedLength(limit=0),
    ],
)
def test_senseless_limits_are_refused(made: Callable[[], object]):
    with pytest.raises(ValueError, match=r"must be at (least|most)"):
        made()


@pytest.mark.parametrize("target", [0.0, 1.0, -0.5, 40, math.nan])
def test_a_target_is_a_share_of_the_limit(target: float):
    with pytest.raises(ValueError, match="between 0 and 1"):
        PeakedLength(target=target)
