"""Every token counts the same whatever the lengths of this batch."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from whet.schedule import Number
from whet.types import Batch
from whet.weightings._attempts import attempts


@dataclass(frozen=True)
class ConstantLength:
    """w_{i,t} = 1 / (N * length) with N attempts and a constant `length` in tokens.

    Unlike a mean, it does not make a token of a long wrong attempt cheaper than one of a short wrong attempt. Source:
    Dr. GRPO (Liu et al. 2025, arXiv 2503.20783), section 3.2 and its appendix: `length` is the most tokens that an
    attempt may sample. Attempts without a trained token are not counted; a batch with nothing to train on gets 0.

    Raises ValueError unless `length` is above 0.
    """

    length: Number

    def __post_init__(self) -> None:
        if isinstance(self.length, (int, float)) and not self.length > 0:
            raise ValueError(f"ConstantLength.length must be above 0 tokens, got {self.length}; give max_tokens")

    def __call__(self, batch: Batch) -> Tensor:
        _, _, count = attempts(batch)
        return batch.trained.to(batch.weights.dtype) / (count * self.length)


EXAMPLES = [ConstantLength(16)]
