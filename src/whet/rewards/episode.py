"""What the environment gave."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from whet.schedule import Number
from whet.types import Group


@dataclass(frozen=True)
class EpisodeReward:
    """value_g = scale * sum over the turns k of attempt g of reward_gk, the environment's own (`Turn.reward`).

    An attempt whose first action was cut off has played nothing and gets 0. As a term `correct`, an attempt is right
    where this is 1 or more: `scale` moves that border.
    """

    scale: Number = 1.0

    def __call__(self, group: Group) -> Tensor:
        sums = [sum(turn.reward for turn in trajectory.turns) for trajectory in group.trajectories]
        return torch.tensor([float(self.scale) * value for value in sums])
