"""What GRPO with a reward for the answer alone thinks of right and of wrong reasoning, in expectation.

A reply's reasoning is right with probability p. Its answer is then right with probability a, and with probability b
where the reasoning is wrong; the reward is 1 for a right answer. Source: the theorem of Wen et al. 2025, "Reinforcement
Learning with Verifiable Rewards Implicitly Incentivizes Correct Reasoning in Base LLMs", arXiv 2506.14245.
"""

from __future__ import annotations

import math

import numpy as np

from whet.randomness import generator


def reasoning_credit(p: float, a: float, b: float) -> tuple[float, float]:
    """(E[A | right reasoning], E[A | wrong reasoning]) = ((1 - p)(a - b) / s, -p (a - b) / s) for groups without end,
    with mu = p a + (1 - p) b and s = sqrt(mu (1 - mu)): E[r | right] - mu = (1 - p)(a - b). Right reasoning is pushed
    up where it leads to right answers more often than wrong reasoning does, a > b, and down where a < b; both are 0 for
    a = b, and where all rewards are equal (s = 0). ValueError for a probability outside [0, 1]."""
    _check(p, a, b)
    mu = p * a + (1 - p) * b
    if not 0 < mu < 1:
        return 0.0, 0.0
    lift = (a - b) / math.sqrt(mu * (1 - mu))
    return (1 - p) * lift, -p * lift


def sampled_credit(p: float, a: float, b: float, group: int, groups: int, seed: int = 0) -> tuple[float, float]:
    """The same as means over `groups` drawn groups of `group` replies, A = (r - mean(r)) / std(r) within each (the
    population's std, as in `advantages.group_mean.GroupMean`), 0 in groups of equal rewards. NaN for a kind of
    reasoning that nobody drew. It comes near `reasoning_credit` as groups grow. Small ones keep its sign, though some
    have nothing to tell. ValueError as above, and for counts below 1."""
    _check(p, a, b)
    if min(group, groups) < 1:
        raise ValueError(f"sampled_credit needs a group and groups of at least 1, got {group} and {groups}")
    rng = generator(seed, "reasoning credit")
    right = rng.random((groups, group)) < p
    rewards = (rng.random((groups, group)) < np.where(right, a, b)).astype(np.float64)
    std = rewards.std(1, keepdims=True)
    advantages = np.divide(rewards - rewards.mean(1, keepdims=True), std, out=np.zeros_like(rewards), where=std > 0)
    means = [float(advantages[kind].mean()) if kind.any() else math.nan for kind in (right, ~right)]
    return means[0], means[1]


def _check(p: float, a: float, b: float) -> None:
    if not all(0 <= x <= 1 for x in (p, a, b)):
        raise ValueError(f"p, a and b are probabilities and must lie in [0, 1], got {p}, {a} and {b}")
