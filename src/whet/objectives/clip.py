"""The clipped surrogate: PPO, GRPO, DAPO."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from whet.objectives._masked import advantage, check_dual, check_range, gradient_metrics, log_ratio, ratio_metrics
from whet.schedule import Number
from whet.types import Batch, Outputs


@dataclass(frozen=True)
class Clip:
    """loss_t = -min(r_t A_t, clip(r_t, 1 - low, 1 + high) A_t),   r_t = exp(log pi(t) - log pi_old(t)).

    With `dual` = c > 1, where A_t < 0 the loss is at most -c A_t: a ratio that has run away cannot blow up the update.

    Sources: PPO (Schulman et al. 2017, arXiv 1707.06347), equation 7, low = high = 0.2; GRPO (Shao et al. 2024, arXiv
    2402.03300), equation 3; clip-higher is DAPO (Yu et al. 2025, arXiv 2503.14476), equation 8, low = 0.2, high = 0.28;
    dual clip is Ye et al. 2020 (arXiv 1912.09729), equation 5, c = 3.

    `low` of 1 or more and `high` of infinity turn a side off. The log-ratio is clamped to +-20 nats. 0 off the trained
    tokens. Raises ValueError for negative widths and for `dual` of 1 or less.
    """

    low: Number = 0.2
    high: Number = 0.2
    dual: Number | None = None

    needs: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        check_range("Clip", low=self.low, high=self.high)
        check_dual("Clip", self.dual)

    def __call__(self, outputs: Outputs, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        credit, log_ratios = advantage(batch), log_ratio(outputs, batch)
        ratio = log_ratios.exp()
        free = ratio * credit
        loss = -torch.minimum(free, ratio.clamp(1 - self.low, 1 + self.high) * credit)
        clipped = loss > -free
        slope = free.masked_fill(clipped, 0.0)
        metrics = {**ratio_metrics(log_ratios, batch.trained), "clip_fraction": clipped.to(loss.dtype)}
        if self.dual is not None:
            most = -self.dual * credit
            runaway = (credit < 0) & (loss > most)
            loss, slope = torch.where(runaway, most, loss), slope.masked_fill(runaway, 0.0)
            metrics["dual_clip_fraction"] = runaway.to(loss.dtype)
        return loss, {**metrics, **gradient_metrics(slope, clipped)}
