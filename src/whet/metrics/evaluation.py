"""What an evaluation says: pass@k and length with intervals, and before against after on the same problems.

values = per_problem(correct, lengths)      # {"pass@1": [P], "pass@8": [P], "length": [P]}
estimates(values)                           # {"pass@1": Estimate(value, low, high), ...}
comparison(values, values_after)            # what report.json holds
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from whet.files import plain
from whet.metrics.intervals import Estimate, bootstrap, paired
from whet.metrics.passk import pass_at_k

Values = Mapping[str, np.ndarray]  # {metric: [P], NaN where nothing is known of a problem}


def per_problem(correct: ArrayLike, lengths: ArrayLike | None = None, ks: Sequence[int] = ()) -> dict[str, np.ndarray]:
    """{"pass@k": [P] for every k, "length": [P] tokens}: one number per problem, in the order given.

    `correct` [P, n]: 1 right, 0 not, NaN no verdict: such an attempt is left out, and a problem with fewer than k
    verdicts has NaN as its pass@k. `lengths` [P, n]: sampled tokens. Without `ks`: 1 and every power of 2 up to n.
    ValueError for other values of `correct`, shapes that differ, and k > n.
    """
    right = np.asarray(correct, dtype=np.float64)
    if right.ndim != 2 or right.shape[1] < 1:
        raise ValueError(f"correct must be [problems, attempts], got shape {right.shape}")
    known = ~np.isnan(right)
    if not np.isin(right[known], (0.0, 1.0)).all():
        raise ValueError("correct must be 1 (right), 0 (not) or NaN (no verdict), got other values")
    ks = ks or [2**i for i in range(right.shape[1].bit_length())]
    if max(ks) > right.shape[1]:
        raise ValueError(f"pass@{max(ks)} needs {max(ks)} attempts per problem, got {right.shape[1]}: sample more")
    counts, hits = known.sum(1), np.where(known, right, 0).sum(1)
    values = {}
    for k in ks:
        enough = counts >= k
        values[f"pass@{k}"] = np.full(len(right), np.nan)
        values[f"pass@{k}"][enough] = pass_at_k(counts[enough], hits[enough], k)
    if lengths is not None:
        tokens = np.asarray(lengths, dtype=np.float64)
        if tokens.shape != right.shape:
            raise ValueError(f"lengths must have the shape {right.shape} of correct, got {tokens.shape}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a problem without any length is NaN, as it should be
            values["length"] = np.nanmean(tokens, axis=1)
    return values


def estimates(values: Values, level: float = 0.95, seed: int = 0) -> dict[str, Estimate]:
    """Each metric's mean over problems with its interval; NaN where no problem has a value."""
    return {name: bootstrap(x, level=level, seed=seed) for name, x in values.items()}


def comparison(before: Values, after: Values, level: float = 0.95, seed: int = 0) -> dict[str, dict[str, Any]]:
    """{"before": {metric: {"value", "low", "high"}}, "after": the same, "difference": {metric: {"value", "low", "high",
    "p"}}}, as JSON values (null for NaN). Problems are paired by place; a difference is taken of what both sides know.
    ValueError if they hold different numbers of problems."""
    both = [name for name in before if name in after]
    return {
        "before": plain(estimates(before, level, seed)),
        "after": plain(estimates(after, level, seed)),
        "difference": {name: plain(paired(before[name], after[name], level=level, seed=seed)) for name in both},
    }
