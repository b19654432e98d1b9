"""Advantages against the mean of the whole batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch

from whet.advantages._outcomes import centred, on_trained, outcomes, over_std
from whet.types import Credit, Scored


@dataclass(frozen=True)
class BatchMean:
    """A_i = (R_i - mean(all rewards of the batch)) / (s + eps) on every trained token of attempt i.

    `std` says what s is, in population form: "batch", the standard deviation of all rewards of the batch; "group", that
    of the group's own rewards; "none", no division at all. A hard problem pulls all its attempts down and an easy one
    all up, whereas `GroupMean` compares attempts at one problem only. `GroupMean` and this are the two scopes of the
    mean, each with three of the standard deviation, that are compared in "Tricks or Traps?" (Liu et al. 2025, arXiv
    2508.08221).

    Equal rewards in the whole batch give exactly 0. With "group", so does a group of equal rewards, which has no
    spread to be measured in; with the others such a group gets what it is above or below the batch.

    Raises ValueError for an unknown `std` or a negative `eps`.
    """

    std: Literal["batch", "group", "none"] = "batch"
    eps: float = 1e-6  # our choice: the paper names none

    batch_wide: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.std not in ("batch", "group", "none"):
            raise ValueError(f'BatchMean.std must be "batch", "group" or "none", got {self.std!r}')
        if self.eps < 0:
            raise ValueError(f"BatchMean.eps must be 0 or more, got {self.eps}")

    def __call__(self, scored_P: list[Scored]) -> Credit:
        rewards_P_G = [outcomes(scored) for scored in scored_P]
        if not rewards_P_G:
            return Credit([])
        everything = torch.cat(rewards_P_G)
        values_P_G = centred(everything).split([len(rewards_G) for rewards_G in rewards_P_G])
        advantages = []
        for scored, rewards_G, values_G in zip(scored_P, rewards_P_G, values_P_G, strict=True):
            if self.std == "batch":
                values_G = over_std(values_G, everything.std(unbiased=False), self.eps)
            elif self.std == "group":
                spread = centred(rewards_G)  # exactly 0 for equal rewards
                level = not bool(spread.any())
                values_G = values_G * 0 if level else over_std(values_G, spread.std(unbiased=False), self.eps)
            advantages.append(on_trained(scored, values_G))
        return Credit(advantages)


EXAMPLES = [BatchMean("batch"), BatchMean("group"), BatchMean("none")]
