"""Which levels of a ladder are neither too hard nor too easy."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple


class Band(NamedTuple):
    """The levels `first` .. `last`, both included; None twice where no level is in the band. `rates`: what was measured
    on the way, {level: pass rate}."""

    first: int | None
    last: int | None
    rates: dict[int, float]


def calibrate(levels: int, rate: Callable[[int], float], target: tuple[float, float] = (0.1, 0.7)) -> Band:
    """{level: low <= rate(level) <= high} for (low, high) = `target`, of levels 0 .. `levels` - 1 whose rates fall.

    By bisection: first = the least level with rate <= high, last = the greatest with rate >= low, so about 2 log2 of
    `levels` are measured, each once. Where rates do not quite fall, as measured ones may, first and last are each still
    a level that is on the right side, or the end of the ladder.
    Source: SynLogic (arXiv 2505.19641), which sets each family's knobs between those where strong models still solve
    one problem in ten and those where chat models solve about half; the default target is our choice.

    ValueError unless there is a level and 0 <= low <= high <= 1.
    """
    low, high = target
    if levels < 1 or not 0 <= low <= high <= 1:
        raise ValueError(f"calibrate needs a level or more and 0 <= low <= high <= 1, got {levels} and {target}")
    known = cache(rate)
    rates: dict[int, float] = {}

    def holds(level: int, test: Callable[[float], bool]) -> bool:
        rates[level] = known(level)
        return test(rates[level])

    first = _least(levels, lambda level: holds(level, lambda x: x <= high))
    last = _least(levels, lambda level: holds(level, lambda x: x < low)) - 1
    rates = dict(sorted(rates.items()))
    return Band(first, last, rates) if first <= last else Band(None, None, rates)


def _least(count: int, test: Callable[[int], bool]) -> int:
    """The least of 0 .. count - 1 for which a test holds that holds from there on; `count` if it never does."""
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        if test(middle):
            high = middle
        else:
            low = middle + 1
    return low
