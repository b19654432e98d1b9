"""Advantages normalised over the whole batch: REINFORCE++."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from whet.advantages._outcomes import centred, outcomes, whitened
from whet.types import Credit, Scored, joined


@dataclass(frozen=True)
class BatchNormalised:
    """A_{i,t} = (x_{i,t} - mean(x)) / (std(x) + eps), with mean and population std over all trained tokens of the
    batch.

    baseline "none": x_{i,t} = sum_{s >= t} r_{i,s}, the undiscounted return from token t on. An outcome reward gives
    R_i to every token; a KL penalty per token (`rewards.kl.KLPenalty`) counts from t on, as in the paper.
    baseline "group": x_{i,t} = R_i - mean(R) of the attempt's group, then the same normalisation ("with baseline").

    Source: Hu et al. 2025 (arXiv 2501.03262), the two variants of global advantage normalisation. The mean runs over
    tokens, so long attempts weigh more, as in the authors' own code. Equal returns in the whole batch give exactly 0;
    one group of equal rewards among others does not.

    Raises ValueError for an unknown `baseline` or a negative `eps`.
    """

    baseline: Literal["none", "group"] = "none"
    eps: float = 1e-8

    batch_wide: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.baseline not in ("none", "group"):
            raise ValueError(f'BatchNormalised.baseline must be "none" or "group", got {self.baseline!r}')
        if self.eps < 0:
            raise ValueError(f"BatchNormalised.eps must be 0 or more, got {self.eps}")

    def __call__(self, scored_P: list[Scored]) -> Credit:
        return Credit(whitened([self._returns(scored) for scored in scored_P], scored_P, self.eps))

    def _returns(self, scored: Scored) -> list[Tensor]:
        """G x [T] float64"""
        if self.baseline == "group":
            return [
                torch.full_like(joined(trajectory, "trained"), float(value), dtype=torch.float64)
                for trajectory, value in zip(scored.group.trajectories, centred(outcomes(scored)), strict=True)
            ]
        return [rewards.double().flip(0).cumsum(0).flip(0) for rewards in scored.rewards]
