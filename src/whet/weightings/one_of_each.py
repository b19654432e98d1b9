"""Of each group one right and one wrong attempt."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from whet.types import Batch, Weighting
from whet.weightings.token_mean import TokenMean


@dataclass(frozen=True)
class OneOfEach:
    """w = weighting(the batch with only, of each group, its first right and its first wrong attempt trained); 0 on the
    others, which are in no count either.

    An attempt is right where its reward term `term` is above 0; one without a verdict (NaN) is none of either. The
    attempts of a group are exchangeable samples, so its first one is a random one. Choosing here and not in a filter
    leaves the advantages what they are over the whole group. A group of one outcome keeps one attempt; leave such
    groups out with `filters.mixed.Mixed`. Source: the trajectory filter of OREAL (Lyu et al. 2025, arXiv 2502.06781),
    so that every problem counts alike.

    Raises ValueError for a batch whose reward has no such term.
    """

    term: str = "correct"
    weighting: Weighting = field(default_factory=TokenMean)

    def __call__(self, batch: Batch) -> Tensor:
        if self.term not in batch.terms:
            raise ValueError(
                f"OneOfEach needs the reward term {self.term!r}, and the batch has {sorted(batch.terms) or 'none'}; "
                "name one of these, or add the term to the reward (with weight 0 if it should not count there)"
            )
        return self.weighting(replace(batch, trained=batch.trained & self._chosen(batch)[:, None]))

    def _chosen(self, batch: Batch) -> Tensor:
        """[B] bool"""
        verdict, speaks = batch.terms[self.term], batch.trained.any(1)
        _, group = torch.unique(batch.group, return_inverse=True)
        chosen = torch.zeros_like(speaks)
        for side in (verdict > 0, verdict <= 0):
            last = torch.iinfo(batch.trajectory.dtype).max
            own = torch.where(side & speaks, batch.trajectory, last)
            first = torch.full((int(group.max()) + 1 if len(group) else 0,), last, device=own.device)
            first = first.scatter_reduce(0, group, own, "amin")
            chosen = chosen | (side & (batch.trajectory == first[group]))
        return chosen
