"""Groups of some names count, the others do not."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from whet.types import Batch, Weighting
from whet.weightings.token_mean import TokenMean


@dataclass(frozen=True)
class OfGroups:
    """w = weighting(the batch with only the attempts of groups of these `names` trained); 0 on the others.

    The others are in no count either: the mean is one over what is left. So a loss on attempts and a loss on texts to
    imitate (`rollouts.shown.Shown`) each have a normaliser of their own. Where a batch has no such group, every weight
    is 0. Raises ValueError for no names.
    """

    names: tuple[str, ...] = ("direct",)
    weighting: Weighting = field(default_factory=TokenMean)

    def __post_init__(self) -> None:
        if not self.names or isinstance(self.names, str):
            raise ValueError(f'OfGroups.names must be names of groups, such as ("direct",), got {self.names!r}')

    def __call__(self, batch: Batch) -> Tensor:
        counts = torch.tensor([name in self.names for name in batch.name], dtype=torch.bool)
        return self.weighting(replace(batch, trained=batch.trained & counts.to(batch.trained.device)[:, None]))


EXAMPLES = [OfGroups(), OfGroups(("direct", "shown"))]
