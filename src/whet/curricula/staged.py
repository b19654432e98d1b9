"""One source after another, the easy ones first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from whet.curricula._sources import by_source, draw, names, spoken, told
from whet.curricula.uniform import Uniform
from whet.schedule import Number
from whet.types import Curriculum, Problem, Scored, Task


@dataclass(frozen=True)
class Staged:
    """In stage k the k-th source of `order` with probability 1 - earlier, else one of those before it; then a problem
    of it, by `items`. A stage ends after `steps` steps or, with `enough`, as soon as the mean of the term `term` over
    the last `window` attempts at its source is that much. The last stage does not end.

    The common hand-made curriculum, with which learned ones are compared; `window` is our choice. Raises ValueError for
    fewer than one step, an `earlier` outside 0 .. 1, and an order that is not the task's sources, each once.
    """

    order: tuple[str, ...]
    steps: int = 10
    enough: float | None = None
    earlier: Number = 0.0
    window: int = 64  # attempts
    term: str = "correct"
    items: Curriculum = field(default_factory=Uniform)
    state: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)  # "stage", "steps", "recent"

    def __post_init__(self) -> None:
        if not self.order or self.steps < 1 or self.window < 1:
            raise ValueError(
                "Staged needs an order of sources, and steps and a window of 1 or more: "
                f"{self.order}, {self.steps}, {self.window}"
            )
        if isinstance(self.earlier, int | float) and not 0 <= self.earlier <= 1:
            raise ValueError(f"Staged.earlier is a share of the draws in 0 .. 1, got {self.earlier}")

    def draw(self, task: Task, count: int, seed: int) -> list[Problem]:
        return draw(task, self.odds(names(task, self)), self.items, count, seed)

    def observe(self, step: int, scored_P: list[Scored], metrics: Mapping[str, float]) -> None:
        stage = self.state.get("stage", 0)
        groups = by_source(scored_P, self).get(self.order[stage], [])
        values = [x for scored in groups for x in spoken(scored, self.term, self).tolist()]
        recent = [*self.state.get("recent", []), *values][-self.window :]
        steps = self.state.get("steps", 0) + 1
        able = self.enough is not None and len(recent) == self.window and sum(recent) >= self.enough * len(recent)
        if stage + 1 < len(self.order) and (steps >= self.steps or able):
            stage, steps, recent = stage + 1, 0, []
        self.state.update(stage=stage, steps=steps, recent=recent)

    def told(self, task: Task) -> dict[str, float]:
        """P of each source, and the stage, from 0."""
        own = told({"P": self.odds(names(task, self))}, self.items, task)
        return {**own, "stage": float(self.state.get("stage", 0))}

    def odds(self, sources: Sequence[str]) -> dict[str, float]:
        """{source: P}"""
        if sorted(sources) != sorted(self.order):
            raise ValueError(f"Staged.order must name {sorted(sources)}, each once, got {list(self.order)}")
        stage = self.state.get("stage", 0)
        behind = float(self.earlier) if stage else 0.0
        before = self.order[:stage]
        odds = {name: behind / stage if name in before else 0.0 for name in sources}
        return {**odds, self.order[stage]: 1 - behind}


EXAMPLES = [Staged(("a", "b"))]
