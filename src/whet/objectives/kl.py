"""Towards another model, on the policy's own tokens: distillation, or a leash."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from whet.objectives._masked import LIMIT, log_ratio, masked, track
from whet.types import Batch, Outputs


@dataclass(frozen=True)
class KL:
    """loss_t = w_t * k_t,   d_t = log pi(t) - log pi_other(t) in nats,   w_t = pi(t) / pi_old(t) without gradient:

    "k1": k = d,   "k2": k = d^2 / 2,   "k3": k = exp(-d) - 1 + d.

    Each estimates KL(pi || pi_other) from tokens sampled by pi (Schulman 2020, "Approximating KL divergence"): k1 and
    k3 without bias, k3 and k2 never below 0. As a loss what counts is the gradient in expectation. It is 0 for k1,
    which does nothing but add noise (put it in the reward: `rewards.kl.KLPenalty`, `advantages.minus_kl.MinusKL`); that
    of KL(pi || pi_other) for k2; and that of KL(pi_other || pi) for k3 (Tang and Munos 2025, arXiv 2506.09477). w keeps
    this true where a batch is used for several updates, so that pi is no longer the model that sampled; it is 1 before
    the first. `ratio=False` leaves it out.

    Alone it is distillation on the student's own samples. As an `Auxiliary` beside a policy gradient, with k2 and a
    frozen teacher, it is KDRL (Xu et al. 2025, arXiv 2506.02208); there its weight is the paper's beta, constant or
    annealed, and its weighting says which attempts are taught (`weightings.failed.Failed`).

    The other model's log-probs are the track `track` (`tracks.reference.Logprobs`). d is clamped to +-20 nats. A policy
    that is the other model gets 0 and no gradient from k2 and k3. 0 off the trained tokens. Raises ValueError for an
    unknown kind and for a batch without the track.
    """

    kind: Literal["k1", "k2", "k3"] = "k2"
    track: str = "reference"
    ratio: bool = True

    def __post_init__(self) -> None:
        check_kind("KL", self.kind)

    @property
    def exact_gradient(self) -> bool:
        return not self.ratio

    def __call__(self, outputs: Outputs, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        other = track(batch, self.track, "a KL", f"add Logprobs(track={self.track!r}) to the stage's tracks")
        d = (masked(outputs.logprobs, batch) - other).clamp(-LIMIT, LIMIT)
        k = {"k1": lambda: d, "k2": lambda: d**2 / 2, "k3": lambda: (-d).exp() - 1 + d}[self.kind]()
        loss = log_ratio(outputs, batch).detach().exp() * k if self.ratio else k
        return loss, {"kl": k.detach()}


def check_kind(who: str, kind: Any) -> None:
    if kind not in ("k1", "k2", "k3"):
        raise ValueError(f'{who}.kind must be "k1", "k2" or "k3", got {kind!r}')


EXAMPLES = [KL("k1", ratio=False), KL("k2", ratio=False), KL("k3", ratio=False), KL("k2"), KL("k3")]
