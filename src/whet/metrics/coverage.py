"""What two models can solve at all: pass@k at large k, where one that is better at k = 1 may be overtaken."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats


@dataclass(frozen=True)
class Coverage:
    """How many problems two models solve at least once in the same number of attempts. `p`: of the exact sign test of
    `gained` against `lost` (McNemar 1947), NaN where neither is there or problems were met with several seeds."""

    both: int
    gained: int
    lost: int
    neither: int
    p: float


def coverage(than: ArrayLike, new: ArrayLike) -> Coverage:
    """The two by two table of {problems with pass@k > 0}, [P] or [S, P], which are those solved at least once; a pair
    of which one side knows nothing (NaN) is left out. `gained`: `new` solves it, `than` does not. ValueError if the
    shapes differ. Yue et al. 2025, arXiv 2504.13837 (limit-of-rlvr)."""
    x, y = np.asarray(than, dtype=np.float64), np.asarray(new, dtype=np.float64)
    if x.shape != y.shape:
        raise ValueError(f"coverage compares the same problems, got shapes {x.shape} and {y.shape}")
    known = ~np.isnan(x) & ~np.isnan(y)
    before, after = x[known] > 0, y[known] > 0
    gained, lost = int((after & ~before).sum()), int((before & ~after).sum())
    single = x.ndim == 1 or len(x) == 1
    p = float(stats.binomtest(gained, gained + lost).pvalue) if gained + lost and single else math.nan
    return Coverage(int((before & after).sum()), gained, lost, int((~before & ~after).sum()), p)


def crossing(than: Mapping[int, float], new: Mapping[int, float]) -> int | None:
    """The smallest k at which pass@k of `than`, {k: its mean}, is no less than that of `new` after it was below; None
    where that never happens. ValueError if they know no k in common."""
    ks = sorted(set(than) & set(new))
    if not ks:
        raise ValueError(f"two curves need a k in common, got {sorted(than)} and {sorted(new)}")
    below = False
    for k in ks:
        if below and than[k] >= new[k]:
            return k
        below = below or than[k] < new[k]
    return None
