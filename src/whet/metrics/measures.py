"""What is read off a finished run: one number per problem, or one per run. Claims and tables are made of these."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from whet.files import read_json, read_lines
from whet.metrics.evaluation import per_problem


class Measure(Protocol):
    """`name` is unique within a recipe; calling it with a run's folder gives [P] values."""

    @property
    def name(self) -> str: ...

    def __call__(self, folder: Path) -> np.ndarray: ...


@dataclass(frozen=True)
class Final:
    """A metric of an evaluation after training, per problem: "pass@1", "pass@8", "length", or the mean over attempts of
    "reward" or of one of its terms, by name. With `source`, of the problems of that source of a `Mixture` alone."""

    metric: str = "pass@1"
    evaluation: str = "test"
    source: str = ""

    @property
    def name(self) -> str:
        return _named(self.metric, self.evaluation) + (f" of {self.source}" if self.source else "")

    def __call__(self, folder: Path) -> np.ndarray:
        return _evaluated(folder / "evaluations" / "after" / f"{self.evaluation}.json", self.metric, self.source)


@dataclass(frozen=True)
class Before:
    """The same before training."""

    metric: str = "pass@1"
    evaluation: str = "test"
    source: str = ""

    @property
    def name(self) -> str:
        of = f" of {self.source}" if self.source else ""
        return f"{_named(self.metric, self.evaluation)}{of} before"

    def __call__(self, folder: Path) -> np.ndarray:
        return _evaluated(folder / "evaluations" / "before" / f"{self.evaluation}.json", self.metric, self.source)


@dataclass(frozen=True)
class During:
    """The same after `step` steps of the stage, from a `Validate` callback that evaluates then."""

    step: int
    metric: str = "pass@1"
    evaluation: str = "test"

    @property
    def name(self) -> str:
        return f"{_named(self.metric, self.evaluation)} after {self.step} steps"

    def __call__(self, folder: Path) -> np.ndarray:
        return _evaluated(folder / "evaluations" / f"step-{self.step}" / f"{self.evaluation}.json", self.metric)


@dataclass(frozen=True)
class AreaUnder:
    """The mean height of a training curve: the area under it, over the tokens sampled so far, by their number; one
    number per run. Arms that use a different number of tokens per step are thus compared at equal tokens."""

    metric: str = "reward/mean"

    @property
    def name(self) -> str:
        return f"{self.metric} over training"

    def __call__(self, folder: Path) -> np.ndarray:
        values, tokens = _curve(folder, self.metric)
        used = np.diff(tokens, prepend=0.0)
        return np.array([float((values * used).sum() / used.sum())])


@dataclass(frozen=True)
class Late:
    """The mean of a training metric over the last tenth of the steps (at least one); one number per run."""

    metric: str

    @property
    def name(self) -> str:
        return f"{self.metric} at the end"

    def __call__(self, folder: Path) -> np.ndarray:
        values, _ = _curve(folder, self.metric)
        return np.array([float(values[-max(1, len(values) // 10) :].mean())])


@dataclass(frozen=True)
class Overall:
    """The mean of a training metric over all steps that have it, 0 where none has; one number per run."""

    metric: str

    @property
    def name(self) -> str:
        return f"{self.metric} on average"

    def __call__(self, folder: Path) -> np.ndarray:
        known = [float(line[self.metric]) for line in _log(folder) if line.get(self.metric) is not None]
        return np.array([float(np.mean(known)) if known else 0.0])


@dataclass(frozen=True)
class Rise:
    """`end` - `start`, two measures of the same problems: what an easier evaluation finds more than a harder one."""

    end: Measure
    start: Measure

    @property
    def name(self) -> str:
        return f"{self.end.name} above {self.start.name}"

    def __call__(self, folder: Path) -> np.ndarray:
        end, start = self.end(folder), self.start(folder)
        if end.shape != start.shape:
            raise ValueError(
                f"Rise takes two measures of the same problems, {self.end.name!r} has {len(end)} values and "
                f"{self.start.name!r} {len(start)}; evaluate both on the same"
            )
        return end - start


@dataclass(frozen=True)
class Total:
    """The sum of a training metric over all steps of all stages that have it, 0 where none has: "attempts" that were
    played, "updates" that were made; one number per run."""

    metric: str

    @property
    def name(self) -> str:
        return f"{self.metric} in all"

    def __call__(self, folder: Path) -> np.ndarray:
        lines = read_lines(folder / "metrics.jsonl")
        return np.array([float(np.sum([line[self.metric] for line in lines if line.get(self.metric) is not None]))])


pass_1 = Final("pass@1")
auc_reward = AreaUnder("reward/mean")


def _named(metric: str, evaluation: str) -> str:
    return metric if evaluation == "test" else f"{evaluation}: {metric}"


def _evaluated(file: Path, metric: str, source: str = "") -> np.ndarray:
    if not file.exists():
        raise ValueError(f"the run has no {file}: let the recipe evaluate there, or measure something else")
    held = read_json(file)
    values = per_problem(np.array(held["correct"], float), np.array(held["lengths"], float))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a problem without any verdict is NaN, as it should be
        terms = {name: np.nanmean(np.array(of, float), axis=1) for name, of in held.get("terms", {}).items()}
    values = {**terms, **values}
    if metric not in values:
        raise ValueError(f"{file} has no {metric!r}, it has {', '.join(values)}")
    if not source:
        return values[metric]
    of = [problem.startswith(f"{source}:") for problem in held["problems"]]
    if not any(of):
        raise ValueError(f"{file} has no problem of the source {source!r}; name one of its task's sources")
    return values[metric][of]


def _log(folder: Path) -> Sequence[Any]:
    """The lines of the last stage that played."""
    lines = [line for line in read_lines(folder / "metrics.jsonl") if line.get("stage") == "rl"]
    return [line for line in lines if line["number"] == lines[-1]["number"]]


def _curve(folder: Path, metric: str) -> tuple[np.ndarray, np.ndarray]:
    """(the metric's value at every step that has one, all tokens sampled until then)."""
    lines = [line for line in _log(folder) if line.get(metric) is not None]
    if not lines:
        raise ValueError(f"{folder / 'metrics.jsonl'} has no {metric!r} in its RL stage")
    return np.array([float(line[metric]) for line in lines]), np.array([float(line["tokens"]) for line in lines])
