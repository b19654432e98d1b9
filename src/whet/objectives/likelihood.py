"""Maximum likelihood: supervised fine-tuning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from whet.objectives._masked import masked
from whet.types import Batch, Outputs


@dataclass(frozen=True)
class Likelihood:
    """loss_t = -log pi(t), in nats, on trained tokens; 0 elsewhere. Advantages are not looked at."""

    needs: ClassVar[tuple[str, ...]] = ()

    def __call__(self, outputs: Outputs, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        loss = -masked(outputs.logprobs, batch)
        return loss, {"nll": loss.detach()}
