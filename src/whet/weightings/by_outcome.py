"""Right and wrong attempts, each side with a mean of its own."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from whet.schedule import Number
from whet.types import Batch


@dataclass(frozen=True)
class ByOutcome:
    """w_t = right / (trained tokens of right attempts) on theirs, wrong / (trained tokens of wrong ones) on theirs.

    An attempt is right where its reward term `term` is above 0; one without a verdict (NaN) is on no side. Counts are
    over the whole optimizer step, so a side's weights sum to `right` or `wrong` however many attempts it has; a side
    without tokens has no weights, and the other is what it would be. Source: OREAL (Lyu et al. 2025, arXiv 2502.06781),
    whose code has 1 for what is cloned and 0.5 for what is repelled.

    Raises ValueError for numbers below 0, and for a batch whose reward has no such term.
    """

    term: str = "correct"
    right: Number = 1.0
    wrong: Number = 0.5

    def __post_init__(self) -> None:
        for name in ("right", "wrong"):
            value = getattr(self, name)
            if isinstance(value, (int, float)) and not value >= 0:
                raise ValueError(f"ByOutcome.{name} must be 0 or more, got {value}")

    def __call__(self, batch: Batch) -> Tensor:
        if self.term not in batch.terms:
            raise ValueError(
                f"ByOutcome needs the reward term {self.term!r}, and the batch has {sorted(batch.terms) or 'none'}; "
                "name one of these, or add the term to the reward (with weight 0 if it should not count there)"
            )
        verdict = batch.terms[self.term]
        weights = torch.zeros_like(batch.weights)
        for total, side in ((self.right, verdict > 0), (self.wrong, verdict <= 0)):
            counted = (batch.trained & side[:, None]).to(weights.dtype)
            weights = weights + total * counted / counted.sum().clamp(min=1)
        return weights
