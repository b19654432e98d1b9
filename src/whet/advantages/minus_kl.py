"""A penalty for leaving another model that each token pays for itself."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from whet.advantages.group_mean import GroupMean
from whet.schedule import Number
from whet.types import Advantage, Credit, Scored, Trajectory, joined

_LIMIT = 20.0  # our choice, nats: as in the losses


@dataclass(frozen=True)
class MinusKL:
    """A_t = advantage_t - coef * d_t,   d_t = log pi_old(t) - log pi_other(t) in nats, a number without gradient.

    The KL penalty on the side of the reward: for one update per batch the policy gradient of it is, token by token,
    that of `coef` times the loss `objectives.kl.KL("k2")`. Each d_t counts at its own token alone and is in no group's
    mean or deviation, unlike `rewards.kl.KLPenalty`, whose values are part of an attempt's reward. With a frozen
    teacher and coef = beta it is the other form of KDRL's joint objective (Xu et al. 2025, arXiv 2506.02208).

    log pi_old is the engine's own at sampling time; log pi_other is the track `track` (`tracks.reference.Logprobs`). d
    is clamped to +-20 nats, and 0 off the trained tokens. Raises ValueError for a negative `coef` and where an attempt
    has no such track.
    """

    advantage: Advantage = field(default_factory=GroupMean)
    coef: Number = 0.05  # our choice
    track: str = "reference"

    def __post_init__(self) -> None:
        if isinstance(self.coef, (int, float)) and not self.coef >= 0:
            raise ValueError(f"MinusKL.coef must be 0 or more, got {self.coef}")

    @property
    def batch_wide(self) -> bool:
        return getattr(self.advantage, "batch_wide", False)

    def __call__(self, scored_P: list[Scored]) -> Credit:
        credit = self.advantage(scored_P)
        advantages = [
            [values - self.coef * self._apart(t) for values, t in zip(of_G, scored.group.trajectories, strict=True)]
            for of_G, scored in zip(credit.advantages, scored_P, strict=True)
        ]
        return replace(credit, advantages=advantages)

    def _apart(self, trajectory: Trajectory) -> Tensor:
        if self.track not in trajectory.tracks:
            raise ValueError(
                f'MinusKL needs the track "{self.track}" and problem {trajectory.problem.id!r} has only '
                f"{sorted(trajectory.tracks)}; add Logprobs(track={self.track!r}) to the stage's tracks"
            )
        apart = joined(trajectory, "logprobs") - trajectory.tracks[self.track]
        return torch.where(joined(trajectory, "trained"), apart, 0.0).clamp(-_LIMIT, _LIMIT)
