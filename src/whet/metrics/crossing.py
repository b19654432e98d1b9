"""From which k on one model's pass@k has caught up with another's, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from whet.metrics.coverage import crossing
from whet.randomness import generator


@dataclass(frozen=True)
class Crossing:
    """`k`: the crossing point, None where there is none. `low`, `high`: its interval, infinite at an end where the
    curves need not cross up to the largest k. `share`: of the resamples, those in which they do."""

    k: int | None
    low: float
    high: float
    share: float


def crossing_between(
    than: Mapping[int, ArrayLike],
    new: Mapping[int, ArrayLike],
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> Crossing:
    """k* = the smallest k with mean pass@k of `than` >= that of `new` after it was below (`coverage.crossing`), from
    {k: [P] or [S, P]}, paired by problem and by seed.

    The interval is that of percentiles of k* when problems, and seeds where there are several, are drawn with
    replacement (Owen 2007, as in `metrics.seeds.over_seeds`). Its ends are among the k that are known, and no crossing
    counts as one at infinity. k* is a jump of what was measured, so a wide interval is common.
    Source of k*: Yue et al. 2025, arXiv 2504.13837 (limit-of-rlvr); the interval is our choice. ValueError if shapes
    differ or no k is common.
    """
    ks = sorted(set(than) & set(new))
    sides = [np.stack([np.atleast_2d(np.asarray(side[k], float)) for k in ks]) for side in (than, new)] if ks else []
    if not sides or sides[0].shape != sides[1].shape:
        raise ValueError(
            f"a crossing needs two curves of the same problems with a k in common, got k {sorted(than)} and "
            f"{sorted(new)}, [k, seeds, problems] {[side.shape for side in sides]}"
        )
    known = ~np.isnan(sides[0] + sides[1])  # [K, S, P]
    x, y = (np.where(known, side, 0.0) for side in sides)
    rng = generator(seed, "crossing")
    _, S, P = x.shape
    seeds = rng.multinomial(S, np.full(S, 1 / S), draws) if S > 1 else np.ones((draws, 1))
    problems = rng.multinomial(P, np.full(P, 1 / P), draws)
    weight, below, above = (np.einsum("ds,ksp,dp->kd", seeds, part, problems, optimize=True) for part in (known, x, y))
    drawn = [_first(ks, below[:, d], above[:, d], weight[:, d]) for d in range(draws)]
    tail = (1 - level) / 2
    low = float(np.quantile(drawn, tail, method="lower"))
    high = float(np.quantile(drawn, 1 - tail, method="higher"))
    own = [dict(zip(ks, (side.sum((1, 2)) / known.sum((1, 2))).tolist(), strict=True)) for side in (x, y)]
    return Crossing(crossing(*own), low, high, float(np.isfinite(drawn).mean()))


def _first(ks: list[int], below: np.ndarray, above: np.ndarray, weight: np.ndarray) -> float:
    held = {k: i for i, k in enumerate(ks) if weight[i] > 0}
    found = crossing({k: below[i] for k, i in held.items()}, {k: above[i] for k, i in held.items()}) if held else None
    return math.inf if found is None else float(found)
