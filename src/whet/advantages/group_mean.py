"""Advantages against the mean of the group: GRPO, Dr. GRPO, Lite PPO."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch

from whet.advantages._outcomes import centred, on_trained, outcomes, over_std
from whet.types import Credit, Scored


@dataclass(frozen=True)
class GroupMean:
    """A_i = (R_i - mean(R)) / (s + eps) on every trained token of attempt i.

    `std` says what s is: "group", the standard deviation of the group's own rewards (GRPO: Shao et al. 2024,
    arXiv 2402.03300, section 4.1.2); "batch", that of all rewards of the batch, not centred (Lite PPO: Liu et al. 2025,
    arXiv 2508.08221); "none", no division at all (Dr. GRPO: Liu et al. 2025, arXiv 2503.20783).

    The papers do not say whether the variance is divided by G or by G - 1; the plain reading of std(R), G, is the
    default and `unbiased=True` is the other. A group of equal rewards, and so a group of one, gets exactly 0.

    Raises ValueError for an unknown `std` or a negative `eps`.
    """

    std: Literal["group", "batch", "none"] = "group"
    eps: float = 1e-6  # our choice: the papers name none
    unbiased: bool = False

    group_relative: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.std not in ("group", "batch", "none"):
            raise ValueError(f'GroupMean.std must be "group", "batch" or "none", got {self.std!r}')
        if self.eps < 0:
            raise ValueError(f"GroupMean.eps must be 0 or more, got {self.eps}")

    @property
    def batch_wide(self) -> bool:
        return self.std == "batch"

    def __call__(self, scored_P: list[Scored]) -> Credit:
        rewards_P_G = [outcomes(scored) for scored in scored_P]
        everything = torch.cat(rewards_P_G) if rewards_P_G else torch.zeros(0)
        advantages = []
        for scored, rewards_G in zip(scored_P, rewards_P_G, strict=True):
            values_G = centred(rewards_G)
            if self.std != "none":
                values_G = over_std(values_G, self._spread(everything if self.batch_wide else rewards_G), self.eps)
            advantages.append(on_trained(scored, values_G))
        return Credit(advantages)

    def _spread(self, rewards: torch.Tensor) -> torch.Tensor:
        unbiased = self.unbiased and len(rewards) > 1
        return rewards.std(unbiased=unbiased) if len(rewards) else rewards.sum()
