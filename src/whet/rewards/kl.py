"""A penalty for leaving the reference model, in the reward."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from whet.types import Group, Trajectory, joined


@dataclass(frozen=True)
class KLPenalty:
    """value_t = -k_t on trained tokens, 0 elsewhere; d_t = log pi_ref(t) - log pi(t), in nats:

    "k1": k = -d,   "k2": k = d^2 / 2,   "k3": k = exp(d) - 1 - d.

    The sum of k1 over an attempt estimates KL(pi || pi_ref) without bias, and as a reward its policy gradient is that
    KL's gradient (Schulman 2020, "Approximating KL divergence"; InstructGPT, Ouyang et al. 2022, arXiv 2203.02155,
    equation 2). log pi is the engine's own at sampling time; log pi_ref is the track `track`
    (`tracks.reference.Logprobs`). Its strength is its weight in `Weighted`. d is clamped to +-20 nats.

    Raises ValueError for an unknown kind and where an attempt has no such track.
    """

    kind: Literal["k1", "k2", "k3"] = "k1"
    track: str = "reference"

    def __post_init__(self) -> None:
        if self.kind not in ("k1", "k2", "k3"):
            raise ValueError(f'KLPenalty.kind must be "k1", "k2" or "k3", got {self.kind!r}')

    def __call__(self, group: Group) -> list[Tensor]:
        return [self._attempt(trajectory) for trajectory in group.trajectories]

    def _attempt(self, trajectory: Trajectory) -> Tensor:
        if self.track not in trajectory.tracks:
            raise ValueError(
                f'KLPenalty needs the track "{self.track}", the attempt has {sorted(trajectory.tracks)}; '
                f"add Logprobs(track={self.track!r}) to the stage's tracks"
            )
        apart = trajectory.tracks[self.track] - joined(trajectory, "logprobs")
        d = torch.where(joined(trajectory, "trained"), apart, 0.0).clamp(-20.0, 20.0)  # our choice: cannot overflow
        if self.kind == "k1":
            return d
        return -(d**2) / 2 if self.kind == "k2" else -(d.exp() - 1 - d)
