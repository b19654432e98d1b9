"""A bonus for right attempts that stay within a target length."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from whet.rewards._attempts import lengths, outcome
from whet.rewards.length import Finished
from whet.rewards.repetition import RepetitionPenalty
from whet.rewards.targets import TargetByDifficulty
from whet.schedule import Number
from whet.types import Group, Term

Kind = Literal["bonus", "penalty", "hybrid"]


@dataclass(frozen=True)
class WithinTarget:
    """With n_g the sampled tokens of attempt g and T the target, value_g =

        "bonus"      1 if g is right and n_g <= T, else 0
        "penalty"   -1 if g is right and n_g > T, else 0
        "hybrid"     the sum of both,

    and with `repetition`, 1 also for a wrong attempt with n_g > T, unless it says the same again: unless `repetition`
    (`RepetitionPenalty()`, say) gives less than -`most`. An attempt is right where the term `correct` is above
    `threshold`; NaN there is NaN here.

    `target`: tokens, or one that depends on how hard the problem is: a `TargetByDifficulty`, called with the share of
    the group's attempts that are right, of those with a verdict.

    Source: LASER (Liu et al. 2025, "Learn to Reason Efficiently with Adaptive Length-based Reward Shaping", arXiv
    2505.15612), with a weight of 0.5 where right is 1 and wrong -0.5: LASER for a number, LASER-D for targets by
    difficulty, LASER-DE for these with `repetition`. `most` is our choice.

    Raises ValueError for an unknown kind or a target below 1.
    """

    correct: Term
    target: Number = 1024  # our choice
    kind: Kind = "bonus"
    repetition: Term | None = None
    most: Number = 0.5
    threshold: Number = 0.5  # our choice

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"WithinTarget.kind must be one of {get_args(Kind)}, got {self.kind!r}")
        if isinstance(self.target, (int, float)) and self.target < 1:
            raise ValueError(f"WithinTarget.target must be at least 1 token, got {self.target}")

    async def __call__(self, group: Group) -> Tensor:
        correct = await outcome(self.correct, group)
        right = correct > self.threshold
        long = lengths(group) > self._target(right[~correct.isnan()])
        value = torch.zeros(len(correct))
        if self.kind != "penalty":
            value += (right & ~long).float()
        if self.kind != "bonus":
            value -= (right & long).float()
        if self.repetition is not None:
            value += (~right & long & (await outcome(self.repetition, group) >= -self.most)).float()
        return torch.where(correct.isnan(), correct, value)

    def _target(self, right: Tensor) -> float:
        if isinstance(self.target, int | float):
            return float(self.target)
        return float(self.target(float(right.double().mean()))) if len(right) else math.inf


EXAMPLES = [
    WithinTarget(Finished(), 4),
    WithinTarget(Finished(), TargetByDifficulty(4, (2, 4)), "hybrid"),
    WithinTarget(Finished(), 4, repetition=RepetitionPenalty(2)),
]
