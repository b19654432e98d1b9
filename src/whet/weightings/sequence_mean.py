"""Every attempt counts the same."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from whet.types import Batch
from whet.weightings._attempts import attempts


@dataclass(frozen=True)
class SequenceMean:
    """w_{i,t} = 1 / (N * |o_i|): the mean over N attempts of the mean over an attempt's trained tokens.

    |o_i| counts over all rows of the attempt. Source: GRPO (Shao et al. 2024, arXiv 2402.03300), equation 3, where each
    of the P groups has G attempts and N = P * G. Weights sum to 1. Attempts without a trained token are not counted;
    a batch with nothing to train on gets 0.
    """

    def __call__(self, batch: Batch) -> Tensor:
        place, tokens, count = attempts(batch)
        share = 1.0 / (count * tokens.clamp(min=1.0))
        return batch.trained.to(batch.weights.dtype) * share[place].to(batch.weights.dtype)[:, None]
