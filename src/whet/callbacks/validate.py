"""Evaluate while training: log it, keep the best model, stop when it no longer gets better."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf, nan
from typing import Any

import numpy as np

from whet.types import Scored


@dataclass(frozen=True)
class Validate:
    """Every `every` steps play `evaluation` (a stage `Evaluate`, usually on the split "validation") with the weights
    as they are, log its metrics under "validation/", and write `evaluations/step-N/NAME.json` (N steps are done).

    The model with the best `metric` so far is kept in the run folder as `best/`. With `patience` > 0 the stage ends
    after that many validations in a row without a better one.
    """

    evaluation: Any
    every: int = 20
    metric: str = "pass@1"
    patience: int = 0
    state: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.every < 1 or self.patience < 0:
            raise ValueError(f"Validate needs every >= 1 and patience >= 0, got {self.every} and {self.patience}")

    def check(self, run: Any) -> None:
        """The evaluation could be played."""
        self.evaluation.check(run)

    async def __call__(self, run: Any, step: int, scored_P: list[Scored]) -> None:
        if (step + 1) % self.every:
            return
        where = f"step-{step + 1}/{self.evaluation.name}"
        values = await self.evaluation.measure(run, run.live(), where)
        found = {name: float(np.mean(known)) if len(known := of[~np.isnan(of)]) else nan for name, of in values.items()}
        if self.metric not in found:
            raise ValueError(f"Validate.metric names no metric: {self.metric!r} is not among {sorted(found)}")
        run.note({f"validation/{name}": value for name, value in found.items()})
        value = found[self.metric]
        if value > self.state.get("best", -inf):  # NaN, no verdict at all, is never better
            self.state.update(best=value, step=step + 1, without=0)
            run.keep_best()
            return
        self.state["without"] = self.state.get("without", 0) + 1
        if self.patience and self.state["without"] >= self.patience:
            best, since = self.state.get("best", nan), self.state.get("step", 0)
            run.stop(f"{self.metric} has not risen above {best:.3f} since step {since}")
