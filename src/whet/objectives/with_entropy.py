"""A bonus for staying undecided, in the loss."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from whet.objectives._masked import masked, needs_of
from whet.objectives.clip import Clip
from whet.schedule import Number
from whet.types import Batch, Objective, Outputs


@dataclass(frozen=True)
class WithEntropy:
    """loss_t = objective_t - coef * H_t,   H_t: entropy of the next-token distribution at token t, in nats.

    Source: PPO (Schulman et al. 2017, arXiv 1707.06347), equation 9. A negative `coef` punishes entropy. 0 off the
    trained tokens.
    """

    objective: Objective = field(default_factory=Clip)
    coef: Number = 0.01

    @property
    def needs(self) -> tuple[str, ...]:
        return needs_of(self.objective, "entropy")

    @property
    def exact_gradient(self) -> bool:
        return getattr(self.objective, "exact_gradient", True)

    def __call__(self, outputs: Outputs, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        loss, metrics = self.objective(outputs, batch)
        return loss - self.coef * masked(outputs.entropy, batch), metrics
