"""What a stage has added to an evaluation, problem by problem."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from whet.files import read_json
from whet.metrics.evaluation import per_problem


@dataclass(frozen=True)
class Gained:
    """pass@1 after training - pass@1 before, [P], of an evaluation, whose problems and streams are the same both times.
    With `source`, of the problems of that source of a `Mixture` alone. NaN where either has no verdict.

    Raises ValueError if the evaluation was not done before and after, and for a source that it has no problem of."""

    evaluation: str = "test"
    source: str = ""

    @property
    def name(self) -> str:
        told = "pass@1" if self.evaluation == "test" else f"{self.evaluation}: pass@1"
        return f"{told}{f' of {self.source}' if self.source else ''} above before"

    def __call__(self, folder: Path) -> np.ndarray:
        (before, first), (after, last) = (self._read(folder, when) for when in ("before", "after"))
        if first != last:
            raise ValueError(f"the evaluations {self.evaluation!r} before and after are not of the same problems")
        own = np.array([not self.source or problem.startswith(f"{self.source}:") for problem in first])
        if not own.any():
            raise ValueError(
                f"{self.evaluation!r} has no problem of the source {self.source!r}; name one of its task's"
            )
        return (after - before)[own]

    def _read(self, folder: Path, when: str) -> tuple[np.ndarray, list[str]]:
        file = folder / "evaluations" / when / f"{self.evaluation}.json"
        if not file.exists():
            raise ValueError(f"the run has no {file}: let the recipe evaluate there, or measure something else")
        held = read_json(file)
        return per_problem(np.array(held["correct"], float), np.array(held["lengths"], float))["pass@1"], held[
            "problems"
        ]
