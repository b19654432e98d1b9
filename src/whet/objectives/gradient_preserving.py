"""The clipped surrogate whose clipped tokens still teach: GPPO."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from whet.objectives._masked import (
    advantage,
    check_dual,
    check_range,
    gradient_metrics,
    log_ratio,
    masked,
    ratio_metrics,
)
from whet.schedule import Number
from whet.types import Batch, Outputs


@dataclass(frozen=True)
class GradientPreservingClip:
    """The loss has the value of `Clip`, -min(r_t A_t, clip(r_t, 1 - low, 1 + high) A_t), and the gradient

        d loss_t / d log pi(t) = -F_t A_t,   F_t = beta_low * (1 - low)     if r_t < 1 - low and A_t < 0
                                                 = beta_high * (1 + high)   if r_t > 1 + high and A_t > 0
                                                 = r_t                      otherwise,

    with r_t = exp(log pi(t) - log pi_old(t)). `Clip` has F_t = 0 in the first two cases: it learns nothing from a good
    token that has become likely and from a bad one that has become rare. Here both go on to teach, by a bounded amount.
    With `dual` = c > 1, where A_t < 0 the loss is at most -c A_t, and there the gradient is 0.

    Source: GPPO in Klear-Reasoner (Su et al. 2025, arXiv 2508.07629), with the widths of DAPO's clip-higher, both betas
    1 and, in its code, c = 3. A beta scales the gradient alone and leaves the value; 0 for both is `Clip`.

    The log-ratio is clamped to +-20 nats. 0 off the trained tokens. Raises ValueError for negative numbers and for
    `dual` of 1 or less.
    """

    low: Number = 0.2
    high: Number = 0.28
    beta_low: Number = 1.0
    beta_high: Number = 1.0
    dual: Number | None = None

    needs: ClassVar[tuple[str, ...]] = ()
    exact_gradient: ClassVar[bool] = False

    def __post_init__(self) -> None:
        numbers = {"low": self.low, "high": self.high, "beta_low": self.beta_low, "beta_high": self.beta_high}
        check_range("GradientPreservingClip", **numbers)
        check_dual("GradientPreservingClip", self.dual)

    def __call__(self, outputs: Outputs, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        credit, log_ratios, logp = advantage(batch), log_ratio(outputs, batch), masked(outputs.logprobs, batch)
        ratio = log_ratios.exp()
        above = (ratio > 1 + self.high) & (credit > 0)
        clipped = above | ((ratio < 1 - self.low) & (credit < 0))
        beta = torch.where(above, self.beta_high, self.beta_low)
        bound = ratio.detach().clamp(1 - self.low, 1 + self.high)
        kept = bound * (beta * (logp - logp.detach())).exp()  # worth `bound`, with gradient beta * bound
        loss = -torch.where(clipped, kept, ratio) * credit
        slope = torch.where(clipped, beta * bound, ratio) * credit
        metrics = {**ratio_metrics(log_ratios, batch.trained), "clip_fraction": clipped.to(loss.dtype)}
        if self.dual is not None:
            most = -self.dual * credit
            runaway = (credit < 0) & (loss > most)
            loss, slope = torch.where(runaway, most, loss), slope.masked_fill(runaway, 0.0)
            metrics["dual_clip_fraction"] = runaway.to(loss.dtype)
        return loss, {**metrics, **gradient_metrics(slope, clipped)}
