"""Importance weights between the engine that sampled and the learner that trains."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from whet.objectives._masked import LIMIT, check_range, masked, needs_of
from whet.objectives.clip import Clip
from whet.schedule import Number
from whet.types import Batch, Objective, Outputs


@dataclass(frozen=True)
class Truncated:
    """loss_t = w_t * objective_t,   rho_t = exp(log pi_proximal(t) - log pi_behaviour(t)), without gradient:

    mode "cap":  w_t = max(low, min(rho_t, cap));
    mode "mask": w_t = rho_t where low <= rho_t <= cap, else 0.

    Behaviour log-probs are the engine's own; proximal ones the learner's before the step's first update, against which
    the inner objective takes its ratio. Kernels, precision and stale weights make them differ. Sources: "cap" is
    truncated importance sampling (Yao et al. 2025, "Your efficient RL framework secretly brings you off-policy RL
    training", cap 2; after Espeholt et al. 2018, arXiv 1802.01561); "mask" is IcePop (Ling Team 2025, arXiv 2510.18855,
    low 0.5, cap 5) and, with low = 0, masked importance sampling.

    rho = 1 leaves the inner objective as it is. Imitated tokens, which no engine sampled, have no rho: put this inside
    `Plus` around the sampled groups' objective, not around the whole. The log-ratio is clamped to +-20 nats. Raises
    ValueError for an unknown mode, `low` above `cap`, or a batch without proximal log-probs.
    """

    objective: Objective = field(default_factory=Clip)
    cap: Number = 2.0
    mode: Literal["cap", "mask"] = "cap"
    low: Number = 0.0

    def __post_init__(self) -> None:
        check_range("Truncated", cap=self.cap, low=self.low)
        if self.mode not in ("cap", "mask"):
            raise ValueError(f'Truncated.mode must be "cap" or "mask", got {self.mode!r}')
        if isinstance(self.low, (int, float)) and isinstance(self.cap, (int, float)) and self.low > self.cap:
            raise ValueError(f"Truncated.low must not be above cap, got low {self.low} and cap {self.cap}")

    @property
    def needs(self) -> tuple[str, ...]:
        return needs_of(self.objective, "proximal")

    @property
    def exact_gradient(self) -> bool:
        return getattr(self.objective, "exact_gradient", True)

    def __call__(self, outputs: Outputs, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        if batch.proximal is None:
            raise ValueError(
                'Truncated needs proximal log-probs; run the learner with the objective\'s `needs`: "proximal"'
            )
        loss, metrics = self.objective(outputs, batch)
        apart = (masked(batch.proximal, batch) - masked(batch.logprobs, batch)).clamp(-LIMIT, LIMIT).detach()
        rho = apart.exp()
        weight = rho.clamp(self.low, self.cap)
        cut = weight != rho
        if self.mode == "mask":
            weight = torch.where(cut, torch.zeros_like(rho), rho)
        told = {"mismatch": rho * batch.trained, "mismatch_cut_fraction": (cut & batch.trained).to(loss.dtype)}
        return loss * weight, {**metrics, **told}
