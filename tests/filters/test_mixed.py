"""Which groups are kept."""

import math

import pytest
import torch
from helpers.examples import attempt, group, row, scored

from whet.filters.everything import everything
from whet.filters.mixed import Mixed
from whet.types import Scored


def of(rewards: list[float], **terms: list[float]) -> Scored:
    plain = scored(group(*(attempt(row([1, 2], [0, 1])) for _ in rewards)), rewards)
    return Scored(plain.group, plain.rewards, {k: torch.tensor(v) for k, v in terms.items()})


RIGHT, WRONG, BOTH = of([1, 1]), of([0, 0]), of([1, 0])


def test_groups_that_agree_are_dropped_and_order_is_kept() -> None:
    other = of([0, 0.5])
    assert Mixed()([other, RIGHT, BOTH, WRONG]) == [other, BOTH]
    assert everything([other, RIGHT, WRONG]) == [other, RIGHT, WRONG]


def test_one_term_can_decide() -> None:
    shaped = of([1.1, 1.0], correct=[1.0, 1.0])
    assert Mixed()([shaped]) == [shaped]
    assert Mixed("correct")([shaped]) == []


def test_attempts_without_a_verdict_are_not_looked_at() -> None:
    assert Mixed()([of([1, math.nan, 1])]) == []
    assert len(Mixed()([of([1, math.nan, 0])])) == 1
    assert Mixed()([of([1, math.nan]), of([math.nan, math.nan])]) == []


def test_rounding_is_no_difference() -> None:
    assert Mixed()([of([0.1 + 0.2, 0.3])]) == []


def test_an_unknown_term_is_refused() -> None:
    with pytest.raises(ValueError, match="correct"):
        Mixed("corect")([of([1], correct=[1.0])])
