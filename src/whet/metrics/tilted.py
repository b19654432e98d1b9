"""How far a reward of 0 or 1 can move a policy on one problem: the best policy under a KL penalty, and its distance.

With success rate p, penalty beta and u = 1 / beta, the policy that maximises E[r] - beta KL(. || pi) is pi tilted by
the reward, pi*(y) = pi(y) exp(u r(y)) / (1 - p + p e^u). All that follows depends on p and beta alone. Bae et al. 2025,
"Online Difficulty Filtering for Reasoning Oriented Reinforcement Learning" (arXiv 2504.03380), argue from it that
problems of middle accuracy teach most. `p` and `beta` are arrays that broadcast; float64 comes back. ValueError for a
p outside [0, 1] or a beta that is not positive and finite.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

_SMALL = 1e-2  # our choice: below it `most_moved` is its series, three terms of which are right to 1e-14


def tilted_rate(p: ArrayLike, beta: ArrayLike) -> np.ndarray:
    """p* = p e^u / (1 - p + p e^u): how often pi* is right. 0 stays 0, and 1 stays 1."""
    p, inside, u = _checked(p, beta)
    return np.where(_certain(p), p, inside / (inside + (1 - inside) * np.exp(-u)))


def tilted_kl(p: ArrayLike, beta: ArrayLike) -> np.ndarray:
    """KL(pi || pi*) = ln(1 - p + p e^u) - p u, in nats, exact; 0 where p is 0 or 1: there is nothing to learn.

    Its second order in u is p (1 - p) u^2 / 2: half the variance of the reward times u^2, largest at p = 1/2. At a
    finite beta that is no lower bound (p = .5, beta = 1: .125 against .1201); `pinsker` is one.
    """
    p, inside, u = _checked(p, beta)
    near = np.log1p(inside * np.expm1(np.minimum(u, 1.0))) - inside * u  # for small u nothing cancels but u itself
    far = (1 - inside) * u + np.log(inside + (1 - inside) * np.exp(-u))  # e^u overflows where beta is small
    return np.where(_certain(p), 0.0, np.maximum(np.where(u <= 1, near, far), 0.0))


def pinsker(p: ArrayLike, beta: ArrayLike) -> np.ndarray:
    """2 (p* - p)^2 <= KL(pi || pi*), nats: Pinsker's inequality, since pi and pi* are p* - p apart in total variation.

    p* - p = p (1 - p) (e^u - 1) / (1 - p + p e^u) holds the variance of the reward again, at any beta.
    """
    p, inside, u = _checked(p, beta)
    moved = inside * (1 - inside) * -np.expm1(-u) / (inside + (1 - inside) * np.exp(-u))
    return np.where(_certain(p), 0.0, 2 * moved**2)


def most_moved(beta: ArrayLike) -> np.ndarray:
    """The p at which KL(pi || pi*) is largest, beta - 1 / (e^u - 1): there its derivative in p is 0. It is below 1/2,
    by u / 12 where the penalty is strong, and falls to beta where it is weak: the less pi is held, the more is to be
    learned from hard problems."""
    _, _, u = _checked(0.5, beta)
    series = 0.5 - u / 12 + u**3 / 720
    return np.where(u < _SMALL, series, 1 / u - np.exp(-u) / -np.expm1(-u))


def _certain(p: np.ndarray) -> np.ndarray:
    return (p == 0) | (p == 1)


def _checked(p: ArrayLike, beta: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(p, p with 1/2 in place of 0 and 1, u = 1 / beta), float64."""
    p, beta = np.asarray(p, dtype=np.float64), np.asarray(beta, dtype=np.float64)
    if (wrong := p[~((p >= 0) & (p <= 1))]).size:
        raise ValueError(f"a success rate must lie in [0, 1], got {wrong.flat[0]}")
    if (wrong := beta[~((beta > 0) & np.isfinite(beta))]).size:
        raise ValueError(f"the KL penalty beta must be positive and finite, got {wrong.flat[0]}; give one above 0")
    return p, np.where(_certain(p), 0.5, p), 1 / beta
