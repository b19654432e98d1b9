"""A penalty for leaving the reference model, in the loss."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

from whet.objectives._masked import check_range, needs_of
from whet.objectives.clip import Clip
from whet.objectives.kl import KL, check_kind
from whet.schedule import Number
from whet.types import Batch, Objective, Outputs


@dataclass(frozen=True)
class WithKL:
    """loss_t = objective_t + coef * k_t,   k_t: the estimate `kind` of KL(pi || pi_ref) at token t, in nats, as in
    `objectives.kl.KL`, which also says what each does as a loss.

    GRPO (Shao et al. 2024, arXiv 2402.03300), equation 4, uses k3 with coef 0.04 and, as here, no ratio on it.

    Reference log-probs are the track `track` (`tracks.reference.Logprobs`). 0 off the trained tokens. Raises ValueError
    for an unknown kind, a negative `coef`, or a batch without the track.
    """

    objective: Objective = field(default_factory=Clip)
    coef: Number = 0.04
    kind: Literal["k1", "k2", "k3"] = "k3"
    track: str = "reference"

    def __post_init__(self) -> None:
        check_range("WithKL", coef=self.coef)
        check_kind("WithKL", self.kind)

    @property
    def needs(self) -> tuple[str, ...]:
        return needs_of(self.objective)

    @property
    def exact_gradient(self) -> bool:
        return getattr(self.objective, "exact_gradient", True)

    def __call__(self, outputs: Outputs, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        loss, metrics = self.objective(outputs, batch)
        leash, told = KL(self.kind, self.track, ratio=False)(outputs, batch)
        return loss + self.coef * leash, {**metrics, **told}
