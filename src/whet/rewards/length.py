"""Rewards for length, counted in tokens that the model chose."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from whet.rewards._attempts import lengths, outcome
from whet.schedule import Count, Number
from whet.types import Group, Term


@dataclass(frozen=True)
class LinearLength:
    """value_g = shortest + (longest - shortest) * min(n_g / limit, 1), with n_g the sampled tokens of attempt g.

    With the defaults it falls from 0 for an empty attempt to -1 at `limit` tokens and beyond.
    Raises ValueError if `limit` is less than 1.
    """

    limit: Count = 1024  # our choice
    shortest: Number = 0.0
    longest: Number = -1.0

    def __post_init__(self) -> None:
        _at_least("LinearLength.limit", self.limit, 1)

    def __call__(self, group: Group) -> Tensor:
        share = (lengths(group) / self.limit).clamp(max=1)
        return self.shortest + (self.longest - self.shortest) * share


@dataclass(frozen=True)
class CosineLength:
    """value_g = cosine(n_g; right_short, right_long) if attempt g is right, cosine(n_g; wrong_short, wrong_long) if it
    is wrong, and `over` if n_g >= limit, right or wrong, where

        cosine(n; short, long) = long + (short - long) * (1 + cos(pi * n / limit)) / 2

    goes from `short` at n = 0 to `long` at n = limit, and n_g counts sampled tokens. With the defaults a right attempt
    had better be short, and a wrong one long.
    Source: Yeo et al. 2025, "Demystifying Long Chain-of-Thought Reasoning in LLMs" (arXiv 2502.03373, section 4), with
    its values. An attempt is right where the term `correct` is above `threshold`; NaN there is NaN here.

    Raises ValueError if `limit` is less than 1.
    """

    correct: Term
    limit: Count = 1024  # our choice; the paper uses the context length
    right_short: Number = 2.0
    right_long: Number = 1.0
    wrong_short: Number = -10.0
    wrong_long: Number = 0.0
    over: Number = -10.0
    threshold: Number = 0.5  # our choice

    def __post_init__(self) -> None:
        _at_least("CosineLength.limit", self.limit, 1)

    async def __call__(self, group: Group) -> Tensor:
        correct, n = await outcome(self.correct, group), lengths(group)
        share = (1 + torch.cos(math.pi * n / self.limit)) / 2
        right = self.right_long + (self.right_short - self.right_long) * share
        wrong = self.wrong_long + (self.wrong_short - self.wrong_long) * share
        value = torch.where(correct > self.threshold, right, wrong)
        value = torch.where(n >= self.limit, torch.full_like(value, float(self.over)), value)
        return torch.where(correct.isnan(), correct, value)


@dataclass(frozen=True)
class SoftOverlong:
    """value_g = 0                                 if n_g <= limit - cache
               = (limit - cache - n_g) / cache    if n_g <= limit
               = -1                               beyond,

    with n_g the sampled tokens of attempt g: a slope before the limit in place of a cliff at it.
    Source: DAPO (Yu et al. 2025, arXiv 2503.14476, equation 13), whose own values are limit 20480 and cache 4096.

    Raises ValueError unless 1 <= cache <= limit.
    """

    limit: Count = 1024  # our choice
    cache: Count = 256  # our choice

    def __post_init__(self) -> None:
        _at_least("SoftOverlong.cache", self.cache, 1)
        if isinstance(self.cache, int) and isinstance(self.limit, int) and self.cache > self.limit:
            raise ValueError(f"SoftOverlong.cache must be at most its limit {self.limit}, got {self.cache}")

    def __call__(self, group: Group) -> Tensor:
        return ((self.limit - self.cache - lengths(group)) / self.cache).clamp(-1, 0)


@dataclass(frozen=True)
class PeakedLength:
    """value_g = 1 - (1 - x_g / target)^2                        if x_g <= target
               = 1 - 2 * ((x_g - target) / (1 - target))^2      beyond,

    with x_g = min(n_g / limit, 1) and n_g the sampled tokens of attempt g: 0 for an empty attempt, 1 at the `target`
    share of `limit`, and -1 at `limit` and beyond. Where the term `earned` is given and not above 0, the value is
    min(0, value_g): a good length is worth something only to an attempt that deserves it; NaN there is NaN here.

    Source: the length reward of "Surrogate Signals from Format and Length" (Xin et al. 2025, arXiv 2505.19439), target
    0.5 and limit 3072. Raises ValueError unless `limit` is 1 or more and `target` lies between 0 and 1.
    """

    target: Number = 0.5
    limit: Count = 3072
    earned: Term | None = None

    def __post_init__(self) -> None:
        _at_least("PeakedLength.limit", self.limit, 1)
        if isinstance(self.target, (int, float)) and not 0 < self.target < 1:
            raise ValueError(f"PeakedLength.target is a share of the limit between 0 and 1, got {self.target}")

    async def __call__(self, group: Group) -> Tensor:
        x = (lengths(group) / self.limit).clamp(max=1)
        short, long = 1 - (1 - x / self.target) ** 2, 1 - 2 * ((x - self.target) / (1 - self.target)) ** 2
        value = torch.where(x <= self.target, short, long)
        if self.earned is None:
            return value
        earned = await outcome(self.earned, group)
        value = torch.where(earned > 0, value, value.clamp(max=0))
        return torch.where(earned.isnan(), earned, value)


@dataclass(frozen=True)
class Finished:
    """value_g = 0 if attempt g was cut off at its limit of tokens (stop "length"), else 1.

    With weight 0 it is measured and pays nothing, and `weightings.where.Where` can leave out what was cut off.
    """

    def __call__(self, group: Group) -> Tensor:
        return torch.tensor([float(trajectory.stop != "length") for trajectory in group.trajectories])


def _at_least(name: str, value: object, least: int) -> None:
    if isinstance(value, (int, float)) and value < least:
        raise ValueError(f"{name} must be at least {least} tokens, got {value}")


EXAMPLES = [
    LinearLength(),
    CosineLength(correct=LinearLength(shortest=1.0, longest=0.0)),
    SoftOverlong(),
    PeakedLength(limit=16),
    PeakedLength(limit=16, earned=Finished()),
    Finished(),
]
