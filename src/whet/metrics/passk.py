"""How often at least one of k attempts is right."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def pass_at_k(attempts: ArrayLike, right: ArrayLike, k: int) -> np.ndarray:
    """pass@k = 1 - C(n - c, k) / C(n, k) = 1 - prod_{j < k} max(n - c - j, 0) / (n - j), n attempts, c of them right:
    the unbiased estimate of the probability that at least one of k attempts is right.

    Chen et al. 2021, "Evaluating Large Language Models Trained on Code", eq. 1. `attempts` and `right`: [P] int (or one
    for all) -> [P] float64. The product has only factors in [0, 1], so no binomial coefficient overflows. A problem
    with fewer than k wrong attempts gets exactly 1, one without a right attempt exactly 0.
    ValueError if k is less than 1 or more than any problem's attempts, or `right` lies outside 0 .. attempts.
    """
    n, c = np.broadcast_arrays(np.asarray(attempts, dtype=np.int64), np.asarray(right, dtype=np.int64))
    if k < 1:
        raise ValueError(f"pass@k needs k of at least 1, got {k}")
    if n.size and int(n.min()) < k:
        raise ValueError(
            f"pass@{k} needs at least {k} attempts per problem, got {int(n.min())}: sample more or lower k"
        )
    if np.any((c < 0) | (c > n)):
        raise ValueError("the right attempts of a problem must lie between 0 and its attempts, got some that do not")
    missed = np.ones(n.shape)
    for j in range(k):
        missed *= np.maximum(n - c - j, 0) / (n - j)
    return 1.0 - missed


def pass_curve(attempts: ArrayLike, right: ArrayLike, most: int) -> np.ndarray:
    """pass@1, pass@2, ... pass@`most` at once, [P, most]: `pass_at_k` for every k. ValueError likewise."""
    if most < 1:
        return np.zeros((np.broadcast(attempts, right).size, 0))
    pass_at_k(attempts, right, most)  # its checks
    n, c = (np.atleast_1d(np.asarray(x, dtype=np.int64))[:, None] for x in (attempts, right))
    j = np.arange(most)
    return 1.0 - np.cumprod(np.maximum(n - c - j, 0) / (n - j), axis=1)
