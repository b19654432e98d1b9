"""The bonus for right attempts within a target length, and what LASER makes of it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from whet.rewards.repetition import RepetitionPenalty
from whet.rewards.targets import TargetByDifficulty
from whet.rewards.within_target import WithinTarget
from whet.scoring import Weighted, totals
from whet.types import Group

NAN = math.nan


def said(*values: float) -> Callable[[Group], Tensor]:
    return lambda group: torch.tensor(values)


def of(ids: Callable[..., Group], *counts: int) -> Group:
    """Attempts of so many tokens, each different from the others."""
    return ids(*(list(range(count)) for count in counts))


def values(term: WithinTarget, group: Group) -> list[float]:
    return asyncio.run(term(group)).tolist()


def reward(term: WithinTarget, group: Group) -> list[float]:
    """The whole reward with a base of 1 for right and -0.5 for wrong."""
    both = Weighted({"correct": term.correct, "length": term}, weights={"correct": 1.5, "length": 0.5})
    return (totals(asyncio.run(both({}, group))) - 0.5).tolist()


def test_right_and_within_the_target_is_worth_half_as_much_again(ids: Callable[..., Group]):
    group = of(ids, 8, 9, 3)
    assert reward(WithinTarget(said(1, 1, 0), 8), group) == [1.5, 1.0, -0.5]


def test_a_wrong_long_attempt_may_be_worth_a_try_unless_it_repeats_itself(ids: Callable[..., Group]):
    group = ids(list(range(9)), [5] * 9, [5] * 3, list(range(9)), list(range(8)))
    term = WithinTarget(said(0, 0, 0, 1, 1), 8, repetition=RepetitionPenalty(2))
    assert reward(term, group) == [0.0, -0.5, -0.5, 1.0, 1.5]


def test_half_of_the_ngrams_may_be_repeated(ids: Callable[..., Group]):
    group = ids([1, 2, 1, 2, 1], [1, 2, 1, 2, 1, 2])  # of 4 and of 5 pairs 2 are different
    assert values(WithinTarget(said(0, 0), 3, repetition=RepetitionPenalty(2)), group) == [1, 0]
    assert values(WithinTarget(said(0, 0), 3, repetition=RepetitionPenalty(2), most=0.7), group) == [1, 1]


def test_a_penalty_is_for_right_attempts_beyond_the_target(ids: Callable[..., Group]):
    group, right = of(ids, 8, 9, 9, 3), said(1, 1, 0, 0)
    assert values(WithinTarget(right, 8, "penalty"), group) == [0, -1, 0, 0]
    assert values(WithinTarget(right, 8, "hybrid"), group) == [1, -1, 0, 0]


def test_the_target_is_that_of_the_class_of_the_group(ids: Callable[..., Group]):
    targets = TargetByDifficulty(start=5, grid=(5,))
    targets.state.update(high=3, medium=6, low=9)
    group = of(ids, 3, 4, 7)
    assert values(WithinTarget(said(1, 1, 0), targets), group) == [1, 0, 0]  # 2/3 are right: high
    assert values(WithinTarget(said(0, 1, 0), targets), group) == [0, 1, 0]  # 1/3: medium
    assert values(WithinTarget(said(1, 1, 1), targets), group) == [1, 0, 0]
    group = of(ids, 9, 10, 9, 9)
    assert values(WithinTarget(said(1, 0, 0, 0), targets), group) == [1, 0, 0, 0]  # 1/4: low
    explored = WithinTarget(said(0, 0, 0, 0), targets, repetition=RepetitionPenalty(2))
    assert values(explored, group) == [0, 1, 0, 0]


def test_attempts_without_a_verdict_have_none_here_and_no_say_in_the_class(ids: Callable[..., Group]):
    targets = TargetByDifficulty(start=5, grid=(5,))
    targets.state.update(high=3, medium=6, low=9)
    found = values(WithinTarget(said(1, NAN, 0), targets), of(ids, 6, 6, 6))  # one of two: medium
    assert found[0] == 1 and math.isnan(found[1]) and found[2] == 0
    assert all(math.isnan(x) for x in values(WithinTarget(said(NAN, NAN), targets), of(ids, 6, 6)))


def test_wrong_options_are_refused():
    for wrong, told in (({"kind": "malus"}, "kind must be one of"), ({"target": 0}, "at least 1 token, got 0")):
        options: Any = wrong
        with pytest.raises(ValueError, match=told):
            WithinTarget(said(1), **options)
