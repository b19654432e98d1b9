"""How sure a number is that was measured over seeds: intervals over seeds and problems together.

A method was run with S seeds and measured on the same P problems each time: values [S, P] (a number per run is [S, 1]).
Seeds and problems are both samples of what could have been, so both are resampled. NaN is left out.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from whet.metrics.intervals import Difference, Estimate, sign_flip
from whet.randomness import generator

_MOST = 10_000  # our choice: more seeds than this nobody runs


def over_seeds(values: ArrayLike, level: float = 0.95, draws: int = 4000, seed: int = 0) -> Estimate:
    """The mean of values [S, P] and its interval.

    Seeds and problems are drawn with replacement, independently of one another (the pigeonhole bootstrap: Owen 2007,
    arXiv 0712.1111, which errs on the wide side). Resampling a handful of seeds alone gives ends that are too near, so
    the percentiles of the means are moved away from the value by `_widening`; with P = 1 that makes about the t
    interval. One seed says nothing of others: its ends are NaN. Nothing known: NaN throughout.
    """
    x = _table(values)
    known = ~np.isnan(x)
    x = np.where(known, x, 0.0)
    count = int(known.any(1).sum())
    if not count:
        return Estimate(math.nan, math.nan, math.nan)
    value = float(x.sum() / known.sum())
    if count < 2:
        return Estimate(value, math.nan, math.nan)
    rng = generator(seed, "bootstrap over seeds")
    seeds = rng.multinomial(len(x), np.full(len(x), 1 / len(x)), draws)
    problems = rng.multinomial(x.shape[1], np.full(x.shape[1], 1 / x.shape[1]), draws)
    weights = ((seeds @ known) * problems).sum(1)
    drawn = ((seeds @ x) * problems).sum(1)[weights > 0] / weights[weights > 0]
    tail = (1 - level) / 2
    table = np.where(known, x, math.nan)
    wider = _widening(means(table), means(table.T), level)
    low, high = value + wider * (np.quantile(drawn, [tail, 1 - tail]) - value)
    return Estimate(value, min(float(low), value), max(float(high), value))


def paired_seeds(
    before: ArrayLike, after: ArrayLike, level: float = 0.95, draws: int = 4000, seed: int = 0
) -> Difference:
    """mean(after - before), paired by seed and by problem, with the interval of `over_seeds`; p is the sign-flip test
    over the seeds' mean differences (with 8 seeds it can not be below 2 / 2^8). ValueError if the shapes differ."""
    x, y = _table(before), _table(after)
    if x.shape != y.shape:
        raise ValueError(
            f"a paired comparison needs the same seeds and problems on both sides, got shapes {x.shape} and {y.shape}"
        )
    found = over_seeds(y - x, level, draws, seed)
    return Difference(found.value, found.low, found.high, sign_flip(means(y - x), seed=seed))


def needed(differences: ArrayLike, margin: float = 0.0, level: float = 0.95) -> int | None:
    """How many values like these (one per seed, or one per problem: [n], or [S, P] for seeds) would have an interval
    that does not hold `margin`, if mean and spread stay as they are: the least n, at least 2, with
    t_{n-1} * std / sqrt(n) < |mean - margin|. None if that takes more than 10,000, or fewer than two are known."""
    x = np.asarray(differences, dtype=np.float64)
    x = means(x) if x.ndim == 2 else x
    x = x[~np.isnan(x)]
    if len(x) < 2:
        return None
    distance, spread = abs(float(x.mean()) - margin), float(x.std(ddof=1))
    if distance == 0:
        return None
    counts = np.arange(2, _MOST + 1)
    enough = stats.t.ppf((1 + level) / 2, counts - 1) * spread / np.sqrt(counts) < distance
    return int(counts[enough][0]) if enough.any() else None


def _widening(seeds_S: np.ndarray, problems_P: np.ndarray, level: float) -> float:
    """sqrt(V' / V) * t / z. V is the variance of the mean as resampling sees it, var(seeds_S) / S + var(problems_P) / P
    with population variances; V' the same with S - 1 and P - 1; z the normal quantile, and t Student's with the degrees
    of freedom of V' (Satterthwaite 1946): about S - 1 where seeds differ most, P - 1 where problems do."""
    parts = [(x.var(), len(x)) for x in (seeds_S[~np.isnan(seeds_S)], problems_P[~np.isnan(problems_P)]) if len(x) > 1]
    seen = sum(variance / n for variance, n in parts)
    if not seen > 0:
        return 1.0
    real = [(variance / (n - 1), n - 1) for variance, n in parts]
    whole = sum(v for v, _ in real)
    freedom = 1 / sum((v / whole) ** 2 / d for v, d in real)
    tail = (1 - level) / 2
    return math.sqrt(whole / seen) * float(stats.t.ppf(1 - tail, freedom) / stats.norm.ppf(1 - tail))


def means(x: np.ndarray) -> np.ndarray:
    """[S]: the mean over a seed's known problems, NaN where there is none; x is [S, P]."""
    known = ~np.isnan(x)
    return np.where(known.any(1), np.where(known, x, 0).sum(1) / np.maximum(known.sum(1), 1), np.nan)


def _table(values: ArrayLike) -> np.ndarray:
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 2 or not x.size:
        raise ValueError(f"values over seeds must be [seeds, problems], got shape {x.shape}")
    return x
