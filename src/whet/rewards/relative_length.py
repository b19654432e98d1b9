"""Penalties for being longer than the other attempts at the same problem."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from whet.rewards._attempts import lengths, outcome
from whet.rewards.length import Finished
from whet.schedule import Number
from whet.types import Group, Term


@dataclass(frozen=True)
class RelativeLength:
    """value_g = 1/2 - (n_g - min) / (max - min)    if attempt g is right, the lesser of that and 0 if it is wrong,

    with n_g its sampled tokens and min, max over the whole group: 1/2 for the shortest attempt, -1/2 for the longest,
    and 0 for all where they are equally long. An attempt is right where the term `correct` is above `threshold`; NaN
    there is NaN here.
    Source: the length reward of Kimi k1.5 (Kimi team 2025, arXiv 2501.12599, section 2.3.3); LASER's code gives it the
    weight 0.4.
    """

    correct: Term
    threshold: Number = 0.5  # our choice

    async def __call__(self, group: Group) -> Tensor:
        correct, n = await outcome(self.correct, group), lengths(group)
        least, spread = n.min(), n.max() - n.min()
        value = 0.5 - (n - least) / spread if spread > 0 else torch.zeros_like(n)
        value = torch.where(correct > self.threshold, value, value.clamp(max=0))
        return torch.where(correct.isnan(), correct, value)


@dataclass(frozen=True)
class StandardisedLength:
    """value_g = -sigmoid(z_g),   z_g = (n_g - mean) / std    if attempt g is right, 0 if it is wrong,

    with n_g its sampled tokens, and mean and standard deviation (of a sample) over the right attempts of the group; z
    is 0, so the value -1/2, where there is one of them or they are equally long. With right 1, wrong 0 and the weight
    alpha the reward is right * (1 - alpha * sigmoid(z)). An attempt is right where the term `correct` is above
    `threshold`; NaN there is NaN here.
    Source: Arora and Zanette 2025, "Training Language Models to Reason Efficiently" (arXiv 2502.04463), with the weight
    0.4 of LASER's code, where the only right attempt of a group has z = n instead.
    """

    correct: Term
    threshold: Number = 0.5  # our choice

    async def __call__(self, group: Group) -> Tensor:
        correct, n = await outcome(self.correct, group), lengths(group)
        right = correct > self.threshold
        if not right.any():
            return torch.where(correct.isnan(), correct, 0.0)
        spread = n[right].std() if right.sum() > 1 else torch.tensor(0.0)
        z = (n - n[right].mean()) / spread if spread > 0 else torch.zeros_like(n)
        value = torch.where(right, -torch.sigmoid(z), 0.0)
        return torch.where(correct.isnan(), correct, value)


EXAMPLES = [RelativeLength(Finished()), StandardisedLength(Finished())]
