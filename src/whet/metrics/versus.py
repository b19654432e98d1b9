"""Two sides measured on the same problems: which is better, by how much, how sure, and what would settle it.

A side is {metric: [S, P]}: S seeds (1 for a single model), P problems, NaN where nothing is known.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from whet.metrics.intervals import Difference, Estimate, bootstrap, paired
from whet.metrics.seeds import means, needed, over_seeds, paired_seeds

_MOST = 10_000  # our choice: more seeds or problems than this nobody waits for
_SAME = 1e-12  # our choice: a problem's values that differ by less are a tie (means of shares round)


@dataclass(frozen=True)
class Versus:
    """One metric of two sides, `new` against `than`. `unit` is what was sampled: with two seeds or more these, else
    problems. `effect` is Cohen's d_z over units; wins, ties and losses count problems. Each of `needed` would
    settle an open difference: see `settling`."""

    difference: Difference
    effect: float
    wins: int
    ties: int
    losses: int
    unit: Literal["seeds", "problems"]
    settled: bool
    seeds: int
    problems: int
    needed: list[dict[str, int]]


def versus(than: ArrayLike, new: ArrayLike, level: float = 0.95) -> Versus:
    """d = new - than, paired by problem and seed, [S, P]. Settled means that the interval of mean(d) does not hold 0.

    One seed: `intervals.paired` over problems, which speaks of these two models. More: `seeds.paired_seeds`, which
    speaks of the methods that made them. ValueError if the shapes differ.
    """
    x, y = np.asarray(than, dtype=np.float64), np.asarray(new, dtype=np.float64)
    if x.ndim != 2 or x.shape != y.shape:
        raise ValueError(f"two sides need the same seeds and problems, [S, P], got shapes {x.shape} and {y.shape}")
    d = y - x
    alone = len(d) == 1
    found = paired(x[0], y[0], level) if alone else paired_seeds(x, y, level)
    units = d[0][~np.isnan(d[0])] if alone else _means(d)
    settled = bool(found.low > 0 or found.high < 0)
    problems = _means(d.T)
    return Versus(
        difference=found,
        effect=effect(units),
        wins=int((problems > _SAME).sum()),
        ties=int((np.abs(problems) <= _SAME).sum()),
        losses=int((problems < -_SAME).sum()),
        unit="problems" if alone else "seeds",
        settled=settled,
        seeds=len(_means(d)),
        problems=len(problems),
        needed=[] if settled else settling(d, level),
    )


def settling(differences: ArrayLike, level: float = 0.95) -> list[dict[str, int]]:
    """How many seeds or problems would have an interval that does not hold 0, for differences [S, P] whose mean and
    spread stay as they are: [{"seeds": n}, {"problems": n}], each with the other as it is; where neither would do,
    [{"seeds": n, "problems": m}], both grown alike; nothing where that takes more than 10,000, or the mean is 0.

    One seed: `seeds.needed` over problems. More: the interval of `seeds.over_seeds` has about the half width
    t * sqrt(a / (S - 1) + b / (P - 1) + c / (S P)), with a, b and c the variances of the seeds' means, of the problems'
    means, and of what is left, and t of Satterthwaite's degrees of freedom for the first two.
    """
    d = np.asarray(differences, dtype=np.float64)
    d = d[~np.isnan(d).all(1)][:, ~np.isnan(d).all(0)]
    S, P = d.shape
    if S == 1:
        found = needed(d[0], level=level)
        return [] if found is None else [{"problems": max(found, P + 1)}]
    if not S or not (mean := abs(float(np.nanmean(d)))):
        return []
    by_seed, by_problem = np.nanmean(d, 1), np.nanmean(d, 0)
    rest = d - by_seed[:, None] - by_problem + np.nanmean(d)
    a, b, c = by_seed.var(), by_problem.var(), np.nanvar(rest)

    def first(seeds: np.ndarray, problems: np.ndarray) -> list[dict[str, int]]:
        of_seeds, of_problems = a / (seeds - 1), b / np.maximum(problems - 1, 1)
        share = of_seeds / np.maximum(of_seeds + of_problems, 1e-300)
        freedom = 1 / (share**2 / (seeds - 1) + (1 - share) ** 2 / np.maximum(problems - 1, 1))
        width = np.sqrt(of_seeds + of_problems + c / (seeds * problems))
        enough = np.flatnonzero(stats.t.ppf((1 + level) / 2, freedom) * width < mean)[:1]
        grown = {"seeds": (seeds, S), "problems": (problems, P)}
        return [{name: int(counts[i]) for name, (counts, now) in grown.items() if counts[i] > now} for i in enough]

    counts = np.arange(1, _MOST + 1)
    ways = first(S + counts, np.full(_MOST, P)) + first(np.full(_MOST, S), P + counts)
    return ways or first(S + counts, np.ceil(P * (S + counts) / S))


def effect(differences: ArrayLike) -> float:
    """Cohen's d_z = mean(d) / std(d): how many standard deviations of the paired differences their mean is away from 0.
    Cohen 1988, "Statistical Power Analysis for the Behavioral Sciences", 2.3.5. NaN for fewer than two, or no spread.
    """
    d = np.asarray(differences, dtype=np.float64)
    if len(d) < 2 or not (spread := float(d.std(ddof=1))):
        return math.nan
    return float(d.mean()) / spread


def estimate(values: ArrayLike, level: float = 0.95) -> Estimate:
    """The mean of one side's metric [S, P], over problems for a single seed, else over both."""
    x = np.asarray(values, dtype=np.float64)
    return bootstrap(x[0], level=level) if len(x) == 1 else over_seeds(x, level)


def holm(ps: Sequence[float]) -> list[float]:
    """p-values made larger, so that a chance finding among all of them is as rare as among one: with p_(1) <= ... <=
    p_(m), adjusted p_(i) = min(1, max_{j <= i} (m - j + 1) p_(j)). Holm 1979. NaN stays, and does not count."""
    known = sorted((p, i) for i, p in enumerate(ps) if not math.isnan(p))
    out, largest = list(ps), 0.0
    for rank, (p, i) in enumerate(known):
        largest = max(largest, (len(known) - rank) * p)
        out[i] = min(1.0, largest)
    return out


def _means(x: np.ndarray) -> np.ndarray:
    """The mean of what is known in each row; rows of which nothing is known are left out."""
    found = means(x)
    return found[~np.isnan(found)]
