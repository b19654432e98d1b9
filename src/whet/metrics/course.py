"""How a training metric went in the course of a run: by how much it fell, its peak, and when most was gained."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

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


@dataclass(frozen=True)
class EarlyRise:
    """The mean of a metric over the last `window` steps of the first third of those that have it, less that over the
    first `window` of all, in the last RL stage; one number per run, above 0 where the metric rose early. Source: "d/c
    rises in the first third" of the check of CoT-pass@k; the window is our choice. ValueError for a window below 1, and
    for a third that is shorter than two windows, which would share steps."""

    metric: str
    window: int = 5

    def __post_init__(self) -> None:
        if self.window < 1:
            raise ValueError(f"EarlyRise.window must be at least 1 step, got {self.window}")

    @property
    def name(self) -> str:
        return f"rise of {self.metric} in the first third"

    def __call__(self, folder: Path) -> np.ndarray:
        values = [float(line[self.metric]) for line in _of_rl(folder, self.metric)]
        third = values[: len(values) // 3]
        if len(third) < 2 * self.window:
            raise ValueError(
                f"{folder / 'metrics.jsonl'} has {self.metric!r} in {len(values)} steps; a rise within a third of them "
                f"between means of {self.window} needs {6 * self.window}"
            )
        return np.array([float(np.mean(third[-self.window :]) - np.mean(third[: self.window]))])


@dataclass(frozen=True)
class Peak:
    """The highest value of a training metric over all steps of all stages that have it, such as "memory/state"; one
    number per run. ValueError where none has it."""

    metric: str

    @property
    def name(self) -> str:
        return f"peak of {self.metric}"

    def __call__(self, folder: Path) -> np.ndarray:
        values = _values(folder, self.metric)
        if not values:
            raise ValueError(f"{folder / 'metrics.jsonl'} has no {self.metric!r}; let a callback of a stage note it")
        return np.array([max(values)])


@dataclass(frozen=True)
class StepOfGain:
    """t90: the first step s at which m_s >= m_first + share * (m_last - m_first), one number per run, where m_s is the
    mean of a training metric over the `window` steps up to s, and first and last are the ends of the last RL stage.

    Steps are numbered from 0, as in the log, and the first that has a mean is number window - 1; those without the
    metric are left out. NaN where m_last is not above m_first: what was not gained has no time. That two metrics of one
    run come in an order is `Above(arm, Rise(StepOfGain("reward/correct"), StepOfGain("reward/validity")), 0)`.

    Source: t90 of the check of RL-Struct ("syntax before semantics"); the window is our choice: single steps are noisy,
    and the luckiest of them would come too soon. ValueError for a share outside (0, 1], a window below 1, or a metric
    that fewer than window + 1 steps have.
    """

    metric: str
    share: float = 0.9
    window: int = 5

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ValueError(f"StepOfGain.share must lie in (0, 1], got {self.share}")
        if self.window < 1:
            raise ValueError(f"StepOfGain.window must be at least 1 step, got {self.window}")

    @property
    def name(self) -> str:
        smooth = f", mean of {self.window}" if self.window > 1 else ""
        return f"step with {self.share:.0%} of the gain in {self.metric}{smooth}"

    def __call__(self, folder: Path) -> np.ndarray:
        lines = _of_rl(folder, self.metric)
        if len(lines) <= self.window:
            raise ValueError(
                f"{folder / 'metrics.jsonl'} has {self.metric!r} in {len(lines)} steps of its RL stage; a gain between "
                f"means of {self.window} needs {self.window + 1}"
            )
        values = np.array([float(line[self.metric]) for line in lines])
        means = np.lib.stride_tricks.sliding_window_view(values, self.window).mean(1)
        first, last = means[0], means[-1]
        if not last > first:
            return np.array([np.nan])
        enough = self.share * (last - first) * (1 - 1e-9)  # what reaches it but for rounding does
        reached = int(np.argmax(means - first >= enough))
        return np.array([float(lines[reached + self.window - 1]["step"])])


def _of_rl(folder: Path, metric: str) -> list[Any]:
    """The lines of the last RL stage that have the metric."""
    lines = [line for line in read_lines(folder / "metrics.jsonl") if line.get("stage") == "rl"]
    return [line for line in lines if line["number"] == lines[-1]["number"] and line.get(metric) is not None]


def _values(folder: Path, metric: str) -> list[float]:
    lines = read_lines(folder / "metrics.jsonl")
    return [float(line[metric]) for line in lines if line.get(metric) is not None]
