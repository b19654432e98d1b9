"""Generalised advantage estimation, for PPO with a critic."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from whet.advantages._outcomes import whitened
from whet.schedule import Number
from whet.types import Credit, Scored, Trajectory, joined


@dataclass(frozen=True)
class GAE:
    """A_k = delta_k + discount * trace * A_{k+1},   delta_k = r_k + discount * V_{k+1} - V_k,   A_K = V_K = 0.

    k runs over the trained tokens only, in order, across rows and turns: what an environment said is skipped, and the
    value of the last token before it links to that of the first after it. A reward that stands on a token that is not
    trained belongs to the last trained token before it (before the first there is no action, and it is left out).
    V_k is the track `values` (`tracks.values.Values`): the value of the state before token k. The end of an attempt is
    terminal whatever ended it. Targets of the value loss are A_k + V_k, taken before `whiten`.

    `whiten` shifts and scales the advantages to mean 0 and population std 1 over the batch's trained tokens.

    Source: Schulman et al. 2016 (arXiv 1506.02438), equations 11, 12 and 16. With discount = trace = 1 and V = 0 an
    outcome reward is the advantage of every trained token. Both arrays are 0 off the trained tokens.

    Raises ValueError for numbers outside [0, 1], and where an attempt has no such track.
    """

    discount: Number = 1.0
    trace: Number = 1.0
    values: str = "values"
    whiten: bool = False

    def __post_init__(self) -> None:
        for name in ("discount", "trace"):
            value = getattr(self, name)
            if isinstance(value, (int, float)) and not 0 <= value <= 1:
                raise ValueError(f"GAE.{name} must lie in [0, 1], got {value}")

    @property
    def batch_wide(self) -> bool:
        return self.whiten

    def __call__(self, scored_P: list[Scored]) -> Credit:
        pairs_P_G = [
            [self._attempt(t, r) for t, r in zip(scored.group.trajectories, scored.rewards, strict=True)]
            for scored in scored_P
        ]
        advantages = [[advantage for advantage, _ in pairs_G] for pairs_G in pairs_P_G]
        targets = [[target for _, target in pairs_G] for pairs_G in pairs_P_G]
        return Credit(whitened(advantages, scored_P, eps=1e-8) if self.whiten else advantages, targets)

    def _attempt(self, trajectory: Trajectory, rewards_T: Tensor) -> tuple[Tensor, Tensor]:
        """Advantages [T] and targets [T] of one attempt."""
        if self.values not in trajectory.tracks:
            raise ValueError(
                f'GAE needs the track "{self.values}" and problem {trajectory.problem.id!r} has only '
                f"{sorted(trajectory.tracks)}; add Values(track={self.values!r}) to the stage's tracks"
            )
        trained = joined(trajectory, "trained")
        values = trajectory.tracks[self.values][trained].double()
        action = (trained.cumsum(0) - 1)[trained.cumsum(0) > 0]  # the last trained token at or before each token
        late = rewards_T[trained.cumsum(0) > 0].double()
        rewards = torch.zeros_like(values).index_add(0, action, late)
        following = torch.cat([values[1:], values.new_zeros(1)]) if len(values) else values
        deltas = rewards + self.discount * following - values
        backwards, running = [], 0.0
        for delta in reversed(deltas.tolist()):
            running = delta + self.discount * self.trace * running
            backwards.append(running)
        advantages = torch.tensor(backwards[::-1], dtype=torch.float64)
        place = torch.zeros(len(trained))
        return (
            place.masked_scatter(trained, advantages.float()),
            place.masked_scatter(trained, (advantages + values).float()),
        )
