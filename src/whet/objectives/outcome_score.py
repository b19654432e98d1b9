"""What a token-level reward model learns from: the outcome alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import softplus

from whet.objectives._masked import masked
from whet.types import Batch, Outputs


@dataclass(frozen=True)
class OutcomeScore:
    """loss_t = BCE(sigmoid(m), y) = softplus(m) - y m on every trained token of an attempt,   m = mean of s over its
    reply tokens,   y = 1 where the reward term `term` is above 0, else 0.

    s, the score of a token in logits, is the value head's output once the token has been read: the value of the state
    before the row's next trained token. The last trained token of a row has none, and neither has the prompt. With
    `SequenceMean` the loss is the mean over attempts of their binary cross-entropy, in nats. Scores are trained towards
    the outcome as a mean, so each token's says whether the reply went well there; `tracks.token_weights.TokenWeights`
    reads them. Source: the token-level reward model of OREAL (Lyu et al. 2025, arXiv 2502.06781).

    An attempt without a score (one trained token) has m = 0, loss log 2 and no gradient; one without a verdict (NaN)
    has loss 0. 0 off the trained tokens. Raises ValueError for a batch whose reward has no such term.
    """

    term: str = "correct"

    needs: ClassVar[tuple[str, ...]] = ("values",)

    def __call__(self, outputs: Outputs, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        if self.term not in batch.terms:
            raise ValueError(
                f"OutcomeScore needs the reward term {self.term!r}, and the batch has {sorted(batch.terms) or 'none'}; "
                "name one of these, or add the term to the reward"
            )
        assert outputs.values is not None
        values, verdict = masked(outputs.values, batch), batch.terms[self.term]
        later = batch.trained & (batch.trained.cumsum(1) > 1)  # the first token's value is the prompt's
        mean = _attempt_mean(torch.where(later, values, 0.0), later, batch)
        right = (verdict > 0).to(values.dtype)
        loss = torch.where(verdict.isnan(), 0.0, softplus(mean) - right * mean)
        agrees = (mean > 0) == (right > 0)
        wide = batch.trained.to(values.dtype)
        told = {"belief": mean.sigmoid(), "agreement": agrees.to(values.dtype)}
        return loss[:, None] * wide, {name: (of[:, None] * wide).detach() for name, of in told.items()}


def _attempt_mean(values: Tensor, counted: Tensor, batch: Batch) -> Tensor:
    """[B]: the mean of `values` (0 where not counted) over the counted tokens of each row's attempt; 0 without any."""
    ids, place = torch.unique(batch.trajectory, return_inverse=True)
    zeros = values.new_zeros(len(ids))
    total = zeros.index_add(0, place, values.sum(1))
    count = zeros.index_add(0, place, counted.sum(1).to(values.dtype))
    return (total / count.clamp(min=1))[place]
