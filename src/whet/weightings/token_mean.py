"""Every trained token counts the same."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from whet.types import Batch


@dataclass(frozen=True)
class TokenMean:
    """w_t = 1 / (number of trained tokens of the optimizer step).

    Long attempts weigh more than short ones. Source: DAPO (Yu et al. 2025, arXiv 2503.14476), equation 8, with the sum
    taken over the whole step as the common implementations do ("token-mean", "bnpo"); the paper writes it within one
    prompt's group. Weights sum to 1; a batch with nothing to train on gets 0.
    """

    def __call__(self, batch: Batch) -> Tensor:
        trained = batch.trained.to(batch.weights.dtype)
        return trained / torch.clamp(trained.sum(), min=1.0)
