"""What a gain is made of: problems that were within reach before and are now solved at once, new ones, and lost ones.

Per problem, with c_i the share of right attempts (pass@1) of the evaluations before and after:

    solved     c_i >= 0.5: most attempts are right; with one greedy attempt, it is right
    reachable  before, at least one of the first k attempts is right (all attempts where k is 0)

A problem is newly solved if it is solved after and was not before. Source: "Adaptive Guidance Accelerates Reinforcement
Learning of Reasoning Models" (Nath et al. 2025), whose k is 16. Attempts without a verdict (NaN) are left out; a
problem that has none, before or after, is in no share.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from whet.files import read_json

_MOST = 0.5  # our choice: a problem counts as solved from this pass@1 on


class Gains(NamedTuple):
    """Each [P]. NaN where a problem is in no such count: the mean over the others is the share."""

    distilled: np.ndarray  # of the newly solved: 1 if it was reachable, else 0
    gained: np.ndarray  # of the newly solved: 1 if it was not reachable, else 0
    lost: np.ndarray  # of all: 1 if it was solved before and is not after, else 0


def gains(before: ArrayLike, after: ArrayLike, k: int = 0) -> Gains:
    """From attempts [P, n] before and [P, m] after: 1 right, 0 not, NaN no verdict. ValueError if they are not of the
    same problems, and for a k that is below 0 or more than were attempted before."""
    first, last = np.asarray(before, float), np.asarray(after, float)
    if first.ndim != 2 or last.ndim != 2 or len(first) != len(last):
        raise ValueError(f"gains takes attempts [P, n] at the same problems, got {first.shape} and {last.shape}")
    if not 0 <= k <= first.shape[1]:
        raise ValueError(f"gains.k must lie in 0 .. {first.shape[1]}, the attempts before, got {k}")
    known = ~(np.isnan(first).all(1) | np.isnan(last).all(1))
    was, now = _solved(first), _solved(last)
    reachable = (np.nan_to_num(first[:, : k or first.shape[1]]) == 1).any(1)
    new = known & now & ~was
    return Gains(
        np.where(new, reachable, np.nan).astype(float),
        np.where(new, ~reachable, np.nan).astype(float),
        np.where(known, was & ~now, np.nan).astype(float),
    )


@dataclass(frozen=True)
class SelfDistillation:
    """The share of the newly solved problems that were within reach of `k` attempts before training; NaN for all
    others, so a run that solves nothing new says nothing. 1 minus it is `CapabilityGain`."""

    k: int = 0  # 0: all attempts of the evaluation
    evaluation: str = "test"

    @property
    def name(self) -> str:
        return _named("self-distillation share", self)

    def __call__(self, folder: Path) -> np.ndarray:
        return _of(folder, self.evaluation, self.k).distilled


@dataclass(frozen=True)
class CapabilityGain:
    """The share of the newly solved problems that none of `k` attempts before training had solved."""

    k: int = 0
    evaluation: str = "test"

    @property
    def name(self) -> str:
        return _named("capability gain", self)

    def __call__(self, folder: Path) -> np.ndarray:
        return _of(folder, self.evaluation, self.k).gained


@dataclass(frozen=True)
class Regression:
    """The share of all problems that were solved before and are not after."""

    evaluation: str = "test"

    @property
    def name(self) -> str:
        return "regression" if self.evaluation == "test" else f"{self.evaluation}: regression"

    def __call__(self, folder: Path) -> np.ndarray:
        return _of(folder, self.evaluation, 0).lost


def _solved(attempts: np.ndarray) -> np.ndarray:
    counts = (~np.isnan(attempts)).sum(1)
    return np.nansum(attempts, axis=1) >= _MOST * np.maximum(counts, 1)


def _of(folder: Path, evaluation: str, k: int) -> Gains:
    held = []
    for when in ("before", "after"):
        file = folder / "evaluations" / when / f"{evaluation}.json"
        if not file.exists():
            raise ValueError(f"the run has no {file}: let the recipe evaluate there, or measure something else")
        held.append(read_json(file))
    if held[0]["problems"] != held[1]["problems"]:
        raise ValueError(f"{folder} was evaluated on other problems before than after; evaluate on the same")
    before, after = (np.array(file["correct"], float) for file in held)
    return gains(before, after, k)


def _named(what: str, measure: SelfDistillation | CapabilityGain) -> str:
    within = f"{what} (k={measure.k})" if measure.k else what
    return within if measure.evaluation == "test" else f"{measure.evaluation}: {within}"
