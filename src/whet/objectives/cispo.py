"""Clip the weight, keep every token's gradient: CISPO."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from whet.objectives._masked import advantage, check_range, gradient_metrics, log_ratio, masked, ratio_metrics
from whet.schedule import Number
from whet.types import Batch, Outputs


@dataclass(frozen=True)
class Cispo:
    """loss_t = -sg(clip(r_t, 1 - low, 1 + high)) A_t log pi(t),   r_t = exp(log pi(t) - log pi_old(t)).

    sg() lets no gradient through.

    Clipping bounds the weight of a token and never drops its gradient, as `Clip` does for rare but decisive tokens.
    Source: MiniMax-M1 (2025, arXiv 2506.13585), equations 4 and 5. The paper uses no lower bound (`low=None`, the
    default) and does not give `high`; a largest weight of 5 is that of ScaleRL (Khatri et al. 2025, arXiv 2510.13786).

    The log-ratio is clamped to +-20 nats. 0 off the trained tokens. Raises ValueError for negative widths.
    """

    low: Number | None = None
    high: Number = 4.0

    needs: ClassVar[tuple[str, ...]] = ()
    exact_gradient: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_range("Cispo", low=0 if self.low is None else self.low, high=self.high)

    def __call__(self, outputs: Outputs, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        log_ratios = log_ratio(outputs, batch).detach()
        ratio = log_ratios.exp()
        weight = ratio.clamp(0.0 if self.low is None else 1 - self.low, 1 + self.high)
        slope, clipped = weight * advantage(batch), weight != ratio
        loss = -slope * masked(outputs.logprobs, batch)
        metrics = {**ratio_metrics(log_ratios, batch.trained), "clip_fraction": clipped.to(loss.dtype)}
        return loss, {**metrics, **gradient_metrics(slope, clipped)}
