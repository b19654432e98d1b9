"""Attempts that went wrong count, the others do not."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from whet.types import Batch, Weighting
from whet.weightings.token_mean import TokenMean


@dataclass(frozen=True)
class Failed:
    """w = weighting(batch) on failed attempts, 0 on the others.

    of "attempt": those whose reward term `term` is not above 0. of "group": those of groups in which it is above 0 for
    none. For terms [1, 0, 0, 1] of one group the first weighs attempts 1 and 2 and the second none; for [0, 0, 0, 0]
    both weigh all. A term without a verdict (NaN) is no failure.

    The others stay in every count: as failures become rare, what is done to them fades with their share and does not
    grow. (`Where` takes its mean over the attempts that are left.) Where none has failed, every weight is 0.

    Source: reward-guided distillation of KDRL (Xu et al. 2025, arXiv 2506.02208), response-level and group-level: the
    teacher speaks where the reward says it is needed. That the mask multiplies a loss whose mean is over all tokens is
    our reading. `Where("finished", Failed("correct"))` also leaves out what was cut off. A filter that drops groups of
    equal rewards, such as `Mixed`, leaves nothing for "group".

    Raises ValueError for an unknown `of`, and for a batch whose reward has no such term.
    """

    term: str = "correct"
    of: Literal["attempt", "group"] = "attempt"
    weighting: Weighting = field(default_factory=TokenMean)

    def __post_init__(self) -> None:
        if self.of not in ("attempt", "group"):
            raise ValueError(f'Failed.of must be "attempt" or "group", got {self.of!r}')

    def __call__(self, batch: Batch) -> Tensor:
        if self.term not in batch.terms:
            raise ValueError(
                f"Failed needs the reward term {self.term!r}, and the batch has {sorted(batch.terms) or 'none'}; "
                "name one of these, or add the term to the reward (with weight 0 if it should not count there)"
            )
        failed = batch.terms[self.term] <= 0
        if self.of == "group":
            failed = ~torch.isin(batch.group, batch.group[~failed])
        return self.weighting(batch) * failed[:, None]
