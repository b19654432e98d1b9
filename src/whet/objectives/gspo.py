"""One ratio per attempt: GSPO."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from whet.objectives._masked import advantage, check_range, log_ratio, ratio_metrics
from whet.schedule import Number
from whet.types import Batch, Outputs


@dataclass(frozen=True)
class Gspo:
    """loss_t = -min(s_t A_t, clip(s_t, 1 - low, 1 + high) A_t),   s_t = sg(s) * pi(t) / sg(pi(t)),
    s = exp(mean over the attempt's trained tokens of (log pi - log pi_old)), sg: no gradient.

    s is the ratio of the whole attempt's probabilities, to the power 1 / length; all its tokens, over all its rows, are
    clipped together. s_t has the value s, and a gradient in its own token's log-prob only. With `SequenceMean` and one
    advantage per attempt this is the sequence loss in value and gradient. Source: GSPO (Zheng et al. 2025, arXiv
    2507.18071), equations 5 and 7, in the token form of equations 13 and 14; widths from section 5.1.

    Log-ratios are clamped to +-20 nats. 0 off the trained tokens. Raises ValueError for negative widths.
    """

    low: Number = 3e-4
    high: Number = 4e-4

    needs: ClassVar[tuple[str, ...]] = ()
    exact_gradient: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_range("Gspo", low=self.low, high=self.high)

    def __call__(self, outputs: Outputs, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        log_ratios = log_ratio(outputs, batch)
        means = _attempt_mean(log_ratios.detach(), batch)
        ratio = torch.exp(means + log_ratios - log_ratios.detach())
        credit = advantage(batch)
        free = ratio * credit
        loss = -torch.minimum(free, ratio.clamp(1 - self.low, 1 + self.high) * credit)
        clipped = (loss > -free).to(loss.dtype)
        spoken = {**ratio_metrics(log_ratios, batch.trained), "clip_fraction": clipped}
        return loss, {**spoken, "sequence_ratio": ratio.detach() * batch.trained}


def _attempt_mean(values: Tensor, batch: Batch) -> Tensor:
    """[B, 1] -> broadcast: the mean of `values` (0 off the trained tokens) over each row's attempt's trained tokens."""
    ids, place = torch.unique(batch.trajectory, return_inverse=True)
    zeros = values.new_zeros(len(ids))
    total = zeros.index_add(0, place, values.sum(1))
    count = zeros.index_add(0, place, batch.trained.sum(1).to(values.dtype))
    return (total / count.clamp(min=1))[place][:, None]
