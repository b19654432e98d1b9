"""Hard problems more often than easy ones, by how often they were solved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from whet.randomness import generator
from whet.schedule import Count, Number
from whet.types import Problem, Scored, Task


@dataclass(frozen=True)
class ByPassRate:
    """Draws a problem in proportion to the copies that its pass rate gives it: `copies` = ((0.2, 6), (0.4, 4), ...)
    says 6 copies below 0.2, else 4 below 0.4, and so on; at or above the last bound it has none.

    A problem's rate is the share of right attempts (reward term `term`, NaN left out) the first time that it was
    played; until then it has `untried` copies. The pool are the problems of `split`, or its first `pool` ones; a task
    without an end needs `pool`. Within a draw no problem comes twice while there are others with copies; where these
    are too few, problems without copies, and then further rounds, fill it.

    Source: OREAL (Lyu et al. 2025, arXiv 2502.06781), whose released data hold that many copies by the rates of the
    initial model; `untried` is our choice: the middle. Raises ValueError for bands that do not rise, negative copies,
    or an empty or endless pool.
    """

    copies: tuple[tuple[float, float], ...] = ((0.2, 6), (0.4, 4), (0.6, 4), (0.8, 2))
    untried: Number = 4
    pool: Count = 0  # 0: the whole split
    term: str = "correct"
    split: str = "train"
    state: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        bounds = [bound for bound, _ in self.copies]
        if not bounds or sorted(set(bounds)) != bounds or not bounds[0] > 0 or min(c for _, c in self.copies) < 0:
            raise ValueError(
                f"ByPassRate.copies must be pairs (bound, copies) with bounds that rise from above 0, got {self.copies}"
            )
        if isinstance(self.untried, (int, float)) and not self.untried >= 0:
            raise ValueError(f"ByPassRate.untried must be 0 or more, got {self.untried}")

    def draw(self, task: Task, count: int, seed: int) -> list[Problem]:
        problems = [task.problem(self.split, i) for i in range(self._size(task))]
        weights, random = np.array([self._copies(problem.id) for problem in problems]), generator(seed)
        drawn: list[int] = []
        while len(drawn) < count:
            # The k largest of log(u) / weight are a weighted draw of k without replacement (Efraimidis, Spirakis 2006).
            keys = np.log(random.random(len(problems))) / np.maximum(weights, 1e-9)
            drawn += np.argsort(-keys, kind="stable")[: count - len(drawn)].tolist()
        return [problems[i] for i in drawn]

    def observe(self, step: int, scored_P: list[Scored], metrics: Mapping[str, float]) -> None:
        for scored in scored_P:
            if self.term not in scored.terms:
                raise ValueError(f"ByPassRate.term is {self.term!r} and the reward has {sorted(scored.terms)}")
            spoken = scored.terms[self.term]
            spoken = spoken[~spoken.isnan()]
            if len(spoken):
                self.state.setdefault(scored.group.problem.id, float((spoken > 0).double().mean()))

    def _copies(self, problem: str) -> float:
        if problem not in self.state:
            return float(self.untried)
        return float(next((copies for bound, copies in self.copies if self.state[problem] < bound), 0))

    def _size(self, task: Task) -> int:
        size, pool = task.size(self.split), int(self.pool)
        if size is None and not pool:
            raise ValueError(f"{type(task).__name__} has no end; say how many of its problems: ByPassRate(pool=1000)")
        found = pool if size is None else min(size, pool or size)
        if found < 1:
            raise ValueError(f"the split {self.split!r} has {found} problems; choose another split or give it data")
        return found
