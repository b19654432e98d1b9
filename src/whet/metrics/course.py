"""By how much a training metric fell in the course of a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from whet.files import read_lines


@dataclass(frozen=True)
class Fall:
    """The mean of a metric over the first quarter of the steps that have it, less that over the last quarter; one
    number per run, above 0 where the metric fell. ValueError for fewer than two such steps."""

    metric: str

    @property
    def name(self) -> str:
        return f"fall of {self.metric}"

    def __call__(self, folder: Path) -> np.ndarray:
        values = _values(folder, self.metric)
        if len(values) < 2:
            raise ValueError(f"{folder / 'metrics.jsonl'} has {self.metric!r} in {len(values)} steps; a fall needs two")
        quarter = max(1, len(values) // 4)
        return np.array([float(np.mean(values[:quarter]) - np.mean(values[-quarter:]))])


def _values(folder: Path, metric: str) -> list[float]:
    lines = read_lines(folder / "metrics.jsonl")
    return [float(line[metric]) for line in lines if line.get(metric) is not None]
