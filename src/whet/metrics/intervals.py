"""How sure a number is: intervals over problems, and paired tests.

Problems are what is sampled: two attempts at one problem are no independent evidence, so every function takes one value
per problem, [P]. A value of NaN means that nothing is known of the problem: it is left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from whet.randomness import generator

Statistic = Callable[[np.ndarray], np.ndarray]  # [..., P] -> [...]

_FEW = 10  # our choice: with fewer problems than this off the commonest value, resampling says too little
_EXACT = 14  # our choice: up to so many differences, all 2^P signs are counted instead of drawn
_CELLS = 2_000_000  # our choice: numbers held at a time while resampling (16 MB)


@dataclass(frozen=True)
class Estimate:
    """A value with its interval; NaN ends where none can be given."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """after - before, with its interval and the p-value of a paired two-sided test that it is 0; NaN likewise."""

    value: float
    low: float
    high: float
    p: float


def mean(values: np.ndarray) -> np.ndarray:
    """The mean over problems, the last axis."""
    return values.mean(-1)


def bootstrap(
    values: ArrayLike, statistic: Statistic = mean, level: float = 0.95, draws: int = 2000, seed: int = 0
) -> Estimate:
    """The statistic with the BCa interval of `draws` resamples of the problems: percentiles of the resampled statistic
    at Phi(z0 + (z0 + z) / (1 - a (z0 + z))), z the normal quantiles of the level, z0 the bias and a the skewness
    (jackknife) of the resamples. Efron 1987, "Better Bootstrap Confidence Intervals".

    Resampling sees no more than the values vary: 0 right of 40 would be "0, surely". So a mean of values in [0, 1] of
    which fewer than 10 differ from the commonest takes the Jeffreys interval of P trials, Beta(s + 1/2, P - s + 1/2)
    with s = sum(values), closed at an end that is reached: right for 0/1 values, on the wide side for others. Other
    values that are all equal give a zero width, a single one NaN ends, none at all NaN throughout.
    """
    x = _known(values)
    _check(level, draws)
    if not len(x):
        return Estimate(math.nan, math.nan, math.nan)
    value = float(statistic(x))
    if statistic is mean and _within(x, 0.0, 1.0) and _few(x):
        return Estimate(value, *_jeffreys(float(x.sum()), len(x), level))
    return Estimate(value, *_bca(x, statistic, level, draws, seed))


def paired(
    before: ArrayLike, after: ArrayLike, level: float = 0.95, draws: int = 2000, flips: int = 10_000, seed: int = 0
) -> Difference:
    """mean(after - before) over the same problems, its bootstrap interval, and the p-value of the sign-flip test: the
    share of sign patterns of the differences whose |mean| is at least the one seen.

    p is exact for up to 14 differences other than 0 and where all have one size (0/1 values: McNemar's exact test);
    else (1 + hits) / (1 + flips) of `flips` random patterns. Equal values give p = 1.

    The interval is BCa as in `bootstrap`. For values in [0, 1] with fewer than 10 differences off the commonest, gains
    and losses get a Jeffreys interval each, joined as by MOVER (Zou & Donner 2008): a model that changed nowhere was
    still seen on P problems only. No problem that is known on both sides: NaN throughout. ValueError if the lengths
    differ.
    """
    x, y = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    if x.shape != y.shape or x.ndim != 1:
        raise ValueError(
            f"a paired test needs one value per problem on both sides, got shapes {x.shape} and {y.shape}: "
            "evaluate both on the same problems"
        )
    _check(level, draws)
    both = ~(np.isnan(x) | np.isnan(y))
    d = _known(y[both] - x[both])
    if not len(d):
        return Difference(math.nan, math.nan, math.nan, math.nan)
    value = float(d.mean())
    if _within(x[both], 0.0, 1.0) and _within(y[both], 0.0, 1.0) and _few(d):
        low, high = _gains_less_losses(d, level)
    else:
        low, high = _bca(d, mean, level, draws, seed)
    return Difference(value, low, high, sign_flip(d, flips, seed))


def sign_flip(differences: ArrayLike, flips: int = 10_000, seed: int = 0) -> float:
    """The two-sided p-value of `paired` from the differences alone. Fisher 1935, "The Design of Experiments"."""
    d = _known(differences)
    d = d[d != 0]
    if not len(d):
        return 1.0
    size, seen = np.abs(d), abs(d.sum())
    if np.allclose(size, size[0], rtol=1e-12, atol=0):
        return float(stats.binomtest(int((d > 0).sum()), len(d)).pvalue)
    seen -= 1e-9 * size.sum()  # sums in another order are still as far out
    if len(d) <= _EXACT:
        signs = 1 - 2 * (np.arange(2 ** len(d))[:, None] >> np.arange(len(d)) & 1)
        return float((np.abs(signs @ size) >= seen).mean())
    rng, hits = generator(seed, "sign flips"), 0
    for rows in _chunks(flips, len(d)):
        signs = rng.integers(0, 2, (rows, len(d)), dtype=np.int8) * 2 - 1
        hits += int((np.abs(signs @ size) >= seen).sum())
    return (1 + hits) / (1 + flips)


def _known(values: ArrayLike) -> np.ndarray:
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1:
        raise ValueError(f"an interval needs one value per problem, [P], got shape {x.shape}: average attempts first")
    return x[~np.isnan(x)]


def _check(level: float, draws: int) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}: 0.95 is usual")
    if draws < 100:
        raise ValueError(f"draws must be at least 100 for an interval, got {draws}")


def _within(x: np.ndarray, low: float, high: float) -> bool:
    return bool(((x >= low) & (x <= high)).all())


def _few(x: np.ndarray) -> bool:
    """Whether almost all values are one and the same."""
    return len(x) - int(np.unique(x, return_counts=True)[1].max()) < _FEW


def _jeffreys(right: float, trials: int, level: float) -> tuple[float, float]:
    tail = (1 - level) / 2
    low, high = stats.beta.ppf([tail, 1 - tail], right + 0.5, trials - right + 0.5)
    return (0.0 if right <= 0 else min(float(low), right / trials)), (1.0 if right >= trials else float(high))


def _gains_less_losses(d: np.ndarray, level: float) -> tuple[float, float]:
    gain, loss = np.maximum(d, 0), np.maximum(-d, 0)
    (low_g, high_g), (low_l, high_l) = (_jeffreys(float(part.sum()), len(d), level) for part in (gain, loss))
    g, s = gain.mean(), loss.mean()
    low = g - s - np.hypot(g - low_g, high_l - s)
    high = g - s + np.hypot(high_g - g, s - low_l)
    return max(float(low), -1.0), min(float(high), 1.0)


def _chunks(rows: int, width: int) -> Iterator[int]:
    at_once = max(1, _CELLS // width)
    for start in range(0, rows, at_once):
        yield min(at_once, rows - start)


def _bca(x: np.ndarray, statistic: Statistic, level: float, draws: int, seed: int) -> tuple[float, float]:
    if len(x) == 1:
        return math.nan, math.nan
    value = float(statistic(x))
    if (x == x[0]).all():
        return value, value
    rng = generator(seed, "bootstrap")
    drawn = np.concatenate([statistic(x[rng.integers(0, len(x), (rows, len(x)))]) for rows in _chunks(draws, len(x))])
    below = ((drawn < value).sum() + (drawn == value).sum() / 2) / draws
    bias = stats.norm.ppf(np.clip(below, 1 / draws, 1 - 1 / draws))
    skew = _acceleration(x, statistic)
    tail = (1 - level) / 2
    z = bias + stats.norm.ppf([tail, 1 - tail])
    low, high = np.quantile(drawn, stats.norm.cdf(bias + z / (1 - skew * z)))
    return min(float(low), value), max(float(high), value)


def _acceleration(x: np.ndarray, statistic: Statistic) -> float:
    """sum(u^3) / (6 sum(u^2)^(3/2)), u = how far each value left out moves the statistic."""
    if statistic is mean:
        left = (x.sum() - x) / (len(x) - 1)
    else:
        left = np.array([float(statistic(np.delete(x, i))) for i in range(len(x))])
    u = left.mean() - left
    spread = (u**2).sum()
    return float((u**3).sum() / (6 * spread**1.5)) if spread > 0 else 0.0
