"""Problems that were solved neither too rarely nor too often, before they are played."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from whet.curricula._items import count_right, pool, rate, weighted
from whet.schedule import Count, Number
from whet.types import Problem, Scored, Task

_ROUNDING = 1e-9  # our choice: 3 of 10 lies in the band from 1 - 0.7


@dataclass(frozen=True)
class WithinBand:
    """Draws a problem with weight 1 if low <= p <= high or it was never tried, else with weight `outside`. p is its
    share of right attempts, all that there were, of which older visits count `keep` times less with each new one. The
    pool are the problems of the split, or its first `pool` ones; within a draw none comes twice until all have.

    What `filters.accuracy_band.AccuracyBand` throws away after it was played is here not played at all; but p is as old
    as the last visit, so `outside` lets a problem come back that was too hard then. The band is that of Bae et al. 2025
    (arXiv 2504.03380), the rest our choice.

    Raises ValueError for a band outside 0 .. 1, a negative `outside`, or an empty or endless pool.
    """

    low: Number = 0.25
    high: Number = 0.75
    outside: Number = 0.1
    keep: Number = 0.5
    pool: Count = 0  # 0: the whole split
    term: str = "correct"
    split: str = "train"
    state: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)  # {problem's id: [right, tried]}

    def __post_init__(self) -> None:
        numbers = [x for x in (self.low, self.high, self.keep) if isinstance(x, int | float)]
        if not all(0 <= x <= 1 for x in numbers) or (len(numbers) == 3 and self.low > self.high):
            raise ValueError(
                "WithinBand needs 0 <= low <= high <= 1 and a keep in 0 .. 1, "
                f"got {self.low}, {self.high} and {self.keep}"
            )
        if isinstance(self.outside, int | float) and not self.outside >= 0:
            raise ValueError(f"WithinBand.outside must be 0 or more, got {self.outside}")

    def draw(self, task: Task, count: int, seed: int) -> list[Problem]:
        problems = pool(task, self.split, int(self.pool))
        return weighted(problems, [self.weight(problem) for problem in problems], count, seed)

    def observe(self, step: int, scored_P: list[Scored], metrics: Mapping[str, float]) -> None:
        count_right(self.state, scored_P, self.term, float(self.keep), self)

    def told(self, task: Task) -> dict[str, float]:
        """How many problems were tried, and the share of them inside the band."""
        known = [right / tried for right, tried in self.state.values()]
        inside = sum(self._inside(p) for p in known) / len(known) if known else 0.0
        return {"tried": float(len(known)), "inside": inside}

    def weight(self, problem: Problem) -> float:
        p = rate(self.state, problem)
        return 1.0 if p is None or self._inside(p) else float(self.outside)

    def _inside(self, p: float) -> bool:
        return self.low - _ROUNDING <= p <= self.high + _ROUNDING
