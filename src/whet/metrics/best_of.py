"""Best-of-N sampling and the KL-regularised optimum, exactly, on a table of replies.

A policy is a law [K] over K replies with rewards [K]. With rewards 0 and 1, taking the best of N samples and tilting
the law by exp(R / beta) give the same law for the right beta: each keeps the law within the right replies and within
the wrong ones, and only moves mass between the two. So cloning best-of-N samples leads to the KL-regularised optimum:
OREAL (Lyu et al. 2025, arXiv 2502.06781). ValueError for laws that are none.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike


def best_of_law(law: ArrayLike, rewards: ArrayLike, n: int) -> np.ndarray:
    """[K]: the law of the best of `n` independent samples, the first of them where several are best.

    mass(reward = r) = P(R <= r)^n - P(R < r)^n, spread over the replies of reward r as `law` is. For rewards 0 and 1 a
    right reply comes out with probability 1 - (1 - p)^n, p being the law's own success.
    """
    law, rewards = _checked(law, rewards)
    if n < 1:
        raise ValueError(f"best of n needs n of at least 1, got {n}")
    out = np.zeros_like(law)
    for reward in np.unique(rewards):
        own = rewards == reward
        up_to, below = law[rewards <= reward].sum(), law[rewards < reward].sum()
        if (mass := law[own].sum()) > 0:
            out[own] = law[own] / mass * (min(up_to, 1.0) ** n - below**n)
    return out


def tilted_law(law: ArrayLike, rewards: ArrayLike, beta: float) -> np.ndarray:
    """[K]: law * exp(R / beta) / Z, the law that maximises E[R] - beta KL(. || law); beta above 0, infinity included:
    the law itself. For rewards 0 and 1 its success is p e^(1/beta) / (p e^(1/beta) + 1 - p)."""
    law, rewards = _checked(law, rewards)
    if not beta > 0:
        raise ValueError(f"the KL penalty beta must be above 0, got {beta}")
    tilted = law * np.exp((rewards - rewards.max()) / beta)
    return tilted / tilted.sum()


def matching_beta(p: float, n: int) -> float:
    """The beta whose optimum succeeds as often as the best of `n` samples, for rewards 0 and 1 and a success rate p in
    (0, 1): 1 / log((1 - (1 - p)^n) / (p (1 - p)^(n - 1))); infinity for n = 1."""
    if not 0 < p < 1 or n < 1:
        raise ValueError(f"matching_beta needs 0 < p < 1 and n of at least 1, got {p} and {n}")
    odds = math.log(-math.expm1(n * math.log1p(-p))) - math.log(p) - (n - 1) * math.log1p(-p)
    return 1 / odds if n > 1 else math.inf


def _checked(law: ArrayLike, rewards: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    law, rewards = np.asarray(law, dtype=np.float64), np.asarray(rewards, dtype=np.float64)
    if law.ndim != 1 or law.shape != rewards.shape or not len(law):
        raise ValueError(f"a law and its rewards must have one shape [K], got {law.shape} and {rewards.shape}")
    if (law < 0).any() or not math.isclose(law.sum(), 1, abs_tol=1e-9):
        raise ValueError(f"a law has no negative entries and sums to 1, got a sum of {law.sum():g}")
    return law, rewards
