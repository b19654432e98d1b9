"""A penalty for leaving the reference model, in the loss."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

from whet.objectives._masked import LIMIT, check_range, masked, needs_of, track
from whet.objectives.clip import Clip
from whet.schedule import Number
from whet.types import Batch, Objective, Outputs


@dataclass(frozen=True)
class WithKL:
    """loss_t = objective_t + coef * k_t,   d_t = log pi_ref(t) - log pi(t):

    "k1": k = -d,   "k2": k = d^2 / 2,   "k3": k = exp(d) - 1 - d.

    Each estimates KL(pi || pi_ref) in nats from tokens sampled by pi (Schulman 2020, "Approximating KL divergence"):
    k1 and k3 without bias, k3 and k2 never below 0. As a *loss* what counts is their gradient in expectation, which on
    policy is 0 for k1 (it does nothing but add noise: put it in the reward, `rewards.kl.KLPenalty`), that of
    KL(pi || pi_ref) for k2, and that of KL(pi_ref || pi) for k3 (Tang and Munos 2025, arXiv 2506.09477). GRPO (Shao et
    al. 2024, arXiv 2402.03300), equation 4, uses k3 with coef 0.04.

    Reference log-probs are the track `track` (`tracks.reference.Logprobs`). d is clamped to +-20 nats. 0 off the
    trained tokens. Raises ValueError for an unknown kind, a negative `coef`, or a batch without the track.
    """

    objective: Objective = field(default_factory=Clip)
    coef: Number = 0.04
    kind: Literal["k1", "k2", "k3"] = "k3"
    track: str = "reference"

    def __post_init__(self) -> None:
        check_range("WithKL", coef=self.coef)
        if self.kind not in ("k1", "k2", "k3"):
            raise ValueError(f'WithKL.kind must be "k1", "k2" or "k3", got {self.kind!r}')

    @property
    def needs(self) -> tuple[str, ...]:
        return needs_of(self.objective)

    @property
    def exact_gradient(self) -> bool:
        return getattr(self.objective, "exact_gradient", True)

    def __call__(self, outputs: Outputs, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        loss, metrics = self.objective(outputs, batch)
        reference = track(batch, self.track, "WithKL", f"add Logprobs(track={self.track!r}) to the stage's tracks")
        d = (reference - masked(outputs.logprobs, batch)).clamp(-LIMIT, LIMIT)
        k = {"k1": lambda: -d, "k2": lambda: d**2 / 2, "k3": lambda: d.exp() - 1 - d}[self.kind]()
        return loss + self.coef * k, {**metrics, "kl": k.detach()}
