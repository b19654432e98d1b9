"""More from sources of which there is still something to learn, or of which little is known."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from whet.curricula._sources import by_source, draw, names, softmax, told
from whet.curricula.uniform import Uniform
from whet.schedule import Number
from whet.types import Curriculum, Problem, Scored, Task, summed

_EPS = 1e-6  # our choice, as in the group-relative advantages
_ROUNDING = 1e-6  # our choice: rewards that differ by less are equal


@dataclass(frozen=True)
class Bandit:
    """For every problem of a draw a source d with probability

        P_d = softmax_d(U_d / temperature),    U_d = L_d + explore * sqrt(2 ln(max(N, 1) + 1) / (n_d + 1))

    and then a problem of it, by `items`. L_d is the mean of |A| over the last `window` attempts at d, with
    A_i = (R_i - mean(R)) / (std(R) + 1e-6) within the attempt's group: how much can still be learned from d. It is 0
    before any attempt, and for a source that is always or never solved; then only the second part is left, which grows
    while others are drawn. n_d counts attempts, not problems; N = sum n_d.

    Everything that was played counts, also what a filter leaves out. Attempts without a verdict (NaN) are drawn and
    have no A. A is normalised by the group's own deviation whatever the loss does: on another scale `temperature` would
    be another. A source that nobody solves is as little drawn as one that everybody does.

    Source: DUMP (Wang et al. 2025), with the values of its code. Raises ValueError for a temperature or window that is
    not above 0, a task without sources, and a problem without one.
    """

    items: Curriculum = field(default_factory=Uniform)
    explore: Number = 1.0  # c
    temperature: Number = 0.1
    window: int = 300  # attempts
    state: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)  # {source: {"drawn", "sizes"}}

    def __post_init__(self) -> None:
        if isinstance(self.temperature, int | float) and not self.temperature > 0:
            raise ValueError(f"Bandit.temperature must be above 0, got {self.temperature}")
        if self.window < 1:
            raise ValueError(f"Bandit.window must be at least 1 attempt, got {self.window}")

    def draw(self, task: Task, count: int, seed: int) -> list[Problem]:
        return draw(task, self.odds(names(task, self)), self.items, count, seed)

    def observe(self, step: int, scored_P: list[Scored], metrics: Mapping[str, float]) -> None:
        for name, groups in by_source(scored_P, self).items():
            known = self.state.setdefault(name, {"drawn": 0, "sizes": []})
            known["drawn"] += sum(len(scored.group.trajectories) for scored in groups)
            sizes = [size for scored in groups for size in _sizes(scored)]
            known["sizes"] = [*known["sizes"], *sizes][-self.window :]

    def told(self, task: Task) -> dict[str, float]:
        """P and L of each source."""
        every = names(task, self)
        return told({"P": self.odds(every), "L": {name: self._learnable(name) for name in every}}, self.items, task)

    def odds(self, sources: Sequence[str]) -> dict[str, float]:
        """{source: P}"""
        return softmax(self.bounds(sources), float(self.temperature))

    def bounds(self, sources: Sequence[str]) -> dict[str, float]:
        """{source: U}"""
        drawn = {name: self.state.get(name, {}).get("drawn", 0) for name in sources}
        total = math.log(max(sum(drawn.values()), 1) + 1)
        bonus = {name: math.sqrt(2 * total / (n + 1)) for name, n in drawn.items()}
        return {name: self._learnable(name) + float(self.explore) * bonus[name] for name in sources}

    def _learnable(self, name: str) -> float:
        sizes = self.state.get(name, {}).get("sizes", [])
        return math.fsum(sizes) / len(sizes) if sizes else 0.0


def _sizes(scored: Scored) -> list[float]:
    """|A| of every attempt of a group that has a verdict."""
    rewards = summed(scored.rewards)
    rewards = rewards[~rewards.isnan()]
    if not len(rewards) or rewards.max() - rewards.min() <= _ROUNDING * rewards.abs().max():
        return [0.0] * len(rewards)
    return (torch.abs(rewards - rewards.mean()) / (rewards.std(unbiased=False) + _EPS)).tolist()
