"""The policy gradient itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from whet.objectives._masked import advantage, log_ratio, masked, ratio_metrics
from whet.types import Batch, Outputs


@dataclass(frozen=True)
class Reinforce:
    """loss_t = -A_t * log pi(t). REINFORCE (Williams 1992).

    No ratio and no clipping: right on-policy, that is for one update per step. 0 off the trained tokens.
    """

    needs: ClassVar[tuple[str, ...]] = ()

    def __call__(self, outputs: Outputs, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        loss = -advantage(batch) * masked(outputs.logprobs, batch)
        return loss, ratio_metrics(log_ratio(outputs, batch), batch.trained)
