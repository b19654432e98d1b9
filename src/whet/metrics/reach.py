"""What a run can do at all in many attempts, before its training and after: measures for claims and tables.

An evaluation is read from `evaluations/before/NAME.json` and `evaluations/after/NAME.json`. An attempt counts as right
where its answer is, or, with `term`, where its answer is and that reward term is 1 or more, too: the reasoning as a
checker sees it. So CoT-pass@k never counts more attempts than pass@k does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from whet.files import read_json
from whet.metrics.coverage import crossing
from whet.metrics.evaluation import per_problem
from whet.metrics.passk import pass_curve

When = Literal["before", "after"]
TRACED = "reasoned"  # the term of a reasoning checker, by custom


def counted(correct: Any, reasoned: Any) -> np.ndarray:
    """1 where the answer is right and so is the reasoning, 0 where either is not, NaN where that can not be told: a
    wrong answer is 0 whatever nobody knows of its reasoning. [P, n]. A reasoning is right from a value of 1 on."""
    right, sound = np.asarray(correct, float), np.asarray(reasoned, float)
    if right.shape != sound.shape:
        raise ValueError(f"answers and reasoning must be of the same attempts, got {right.shape} and {sound.shape}")
    both = np.where(np.isnan(right) | np.isnan(sound), np.nan, (right == 1) & (sound >= 1))
    return np.where(right == 0, 0.0, both)


def sound_share(correct: np.ndarray, both: np.ndarray) -> np.ndarray:
    """d / c from [P, n] attempts, [P]: of c that are right, d `counted`; NaN for a problem without right answers."""
    c, d = np.nansum(np.where(np.isnan(both), np.nan, correct), 1), np.nansum(both, 1)
    return np.divide(d, c, out=np.full(len(c), np.nan), where=c > 0)


@dataclass(frozen=True)
class Counted:
    """pass@k, [P], before or after training, of what `term` finds right, too: CoT-pass@k; without `term`, of answers.
    k = 0 is all attempts of the evaluation.

    Source: Wen et al. 2025, arXiv 2506.14245: 1 - C(n - d, k) / C(n, k), d <= c of n attempts with right reasoning and
    right answer. ValueError where there is no such evaluation or term, and for a k above the attempts."""

    k: int = 1
    term: str = TRACED
    when: When = "after"
    evaluation: str = "test"

    @property
    def name(self) -> str:
        by = "" if self.term in (TRACED, "") else f" by {self.term}"
        what = f"{'CoT-' if self.term else ''}pass@{self.k or 'all'}{by}"
        return _named(what, self.evaluation) + (" before" if self.when == "before" else "")

    def __call__(self, folder: Path) -> np.ndarray:
        found = _attempts(folder, self.when, self.evaluation, self.term)
        k = self.k or found.shape[1]
        return per_problem(found, ks=(k,))[f"pass@{k}"]


@dataclass(frozen=True)
class SoundShare:
    """d / c, [P]: the share of right answers whose reasoning is right, too; NaN for a problem without right answers.
    P(CC | CA) of Wen et al. 2025."""

    term: str = TRACED
    when: When = "after"
    evaluation: str = "test"

    @property
    def name(self) -> str:
        return _named("sound share", self.evaluation) + (" before" if self.when == "before" else "")

    def __call__(self, folder: Path) -> np.ndarray:
        right = _attempts(folder, self.when, self.evaluation, "")
        both = _attempts(folder, self.when, self.evaluation, self.term)
        return sound_share(right, both)


@dataclass(frozen=True)
class CrossingPoint:
    """k*, one number per run: the smallest k at which pass@k before training is no less than pass@k after it, once it
    was below. NaN where the curves do not cross up to all attempts; with `crossed`, 1 where they do and 0 where not.
    `metrics.crossing.crossing_between` gives a single comparison its interval."""

    term: str = ""
    crossed: bool = False
    evaluation: str = "test"

    @property
    def name(self) -> str:
        of = "CoT-pass@k" if self.term else "pass@k"
        return _named(f"{of} crosses" if self.crossed else f"k* of {of}", self.evaluation)

    def __call__(self, folder: Path) -> np.ndarray:
        before, after = (_curve(_attempts(folder, when, self.evaluation, self.term)) for when in ("before", "after"))
        k = crossing(before, after)
        return np.array([float(k is not None) if self.crossed else math.nan if k is None else float(k)])


@dataclass(frozen=True)
class Reached:
    """1 for a problem that is solved at least once in all attempts by `who`, else 0, [P]: the four cells of the table
    of coverage. "only before" is what training has lost, "only after" what it has added."""

    who: Literal["both", "only before", "only after", "neither"]
    term: str = ""
    evaluation: str = "test"

    @property
    def name(self) -> str:
        return _named(f"solved by {self.who}{' with right reasoning' if self.term else ''}", self.evaluation)

    def __call__(self, folder: Path) -> np.ndarray:
        was, now = (
            (np.nan_to_num(_attempts(folder, when, self.evaluation, self.term)) > 0).any(1)
            for when in ("before", "after")
        )
        cells = {"both": was & now, "only before": was & ~now, "only after": now & ~was, "neither": ~was & ~now}
        return cells[self.who].astype(float)


@dataclass(frozen=True)
class Perplexity:
    """exp(-v), [P], v the median over a problem's attempts of a term that is a mean log-probability per token, such as
    `rewards.fluency.Fluency`: how surprising the replies are to the model that reads them."""

    term: str = "fluency"
    when: When = "after"
    evaluation: str = "test"

    @property
    def name(self) -> str:
        return _named("perplexity", self.evaluation) + (" before" if self.when == "before" else "")

    def __call__(self, folder: Path) -> np.ndarray:
        return np.exp(-np.nanmedian(_term(_read(folder, self.when, self.evaluation), self.term), axis=1))


def _read(folder: Path, when: str, evaluation: str) -> dict[str, Any]:
    file = folder / "evaluations" / when / f"{evaluation}.json"
    if not file.exists():
        raise ValueError(f"the run has no {file}: let the recipe evaluate there, or measure something else")
    return read_json(file)


def _term(held: dict[str, Any], term: str) -> np.ndarray:
    if term not in held["terms"]:
        raise ValueError(f"the evaluation has no term {term!r}, it has {', '.join(held['terms'])}")
    return np.array(held["terms"][term], float)


def _attempts(folder: Path, when: str, evaluation: str, term: str) -> np.ndarray:
    held = _read(folder, when, evaluation)
    correct = np.array(held["correct"], float)
    return counted(correct, _term(held, term)) if term else correct


def _curve(found: np.ndarray) -> dict[int, float]:
    """{k: mean pass@k} for every k up to the attempts that every problem has a verdict on; problems with none aside."""
    counts = (~np.isnan(found)).sum(1)
    known = counts > 0
    curve = pass_curve(counts[known], np.nansum(found, 1)[known], int(counts[known].min()) if known.any() else 0)
    return dict(enumerate(curve.mean(0).tolist(), 1))


def _named(what: str, evaluation: str) -> str:
    return what if evaluation == "test" else f"{evaluation}: {what}"
