"""Problems in proportion to p(1 - p)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from whet.curricula._items import count_right, pool, rate, weighted
from whet.schedule import Count, Number
from whet.types import Problem, Scored, Task


@dataclass(frozen=True)
class ByVariance:
    """Draws a problem with weight max(p (1 - p), least), p being its share of right attempts, of which older visits
    count `keep` times less with each new one. p (1 - p) is the variance of a right-or-wrong reward: 0 where all
    attempts come out alike and a group-relative advantage has nothing to say, most at p = 1/2, which is also what a
    problem counts as that was never tried. The pool are the problems of the split, or its first `pool` ones; within a
    draw none comes twice until all have.

    Source: learnability as in Foster and Foerster 2025 (arXiv 2502.12272); `keep` and `least`, with which what was
    mastered or hopeless comes back at times, are our choice. Raises ValueError for numbers out of range, or an empty or
    endless pool.
    """

    least: Number = 0.02
    keep: Number = 0.5
    pool: Count = 0  # 0: the whole split
    term: str = "correct"
    split: str = "train"
    state: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)  # {problem's id: [right, tried]}

    def __post_init__(self) -> None:
        numbers = [x for x in (self.least, self.keep) if isinstance(x, int | float)]
        if not all(0 <= x <= 1 for x in numbers):
            raise ValueError(f"ByVariance.least and .keep must lie in 0 .. 1, got {self.least} and {self.keep}")

    def draw(self, task: Task, count: int, seed: int) -> list[Problem]:
        problems = pool(task, self.split, int(self.pool))
        return weighted(problems, [self.weight(problem) for problem in problems], count, seed)

    def observe(self, step: int, scored_P: list[Scored], metrics: Mapping[str, float]) -> None:
        count_right(self.state, scored_P, self.term, float(self.keep), self)

    def told(self, task: Task) -> dict[str, float]:
        """How many problems were tried, and their mean p (1 - p)."""
        known = [right / tried for right, tried in self.state.values()]
        return {"tried": float(len(known)), "variance": sum(p * (1 - p) for p in known) / max(len(known), 1)}

    def weight(self, problem: Problem) -> float:
        p = rate(self.state, problem)
        return 0.25 if p is None else max(p * (1 - p), float(self.least))
