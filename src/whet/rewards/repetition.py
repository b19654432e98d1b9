"""A penalty for saying the same again."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from whet.schedule import Count, Number
from whet.types import Group, Row, Trajectory


@dataclass(frozen=True)
class RepetitionPenalty:
    """value_g = -weight * (1 - different_g / all_g), over the n-grams of `size` sampled tokens of attempt g.

    An n-gram lies within one stretch of sampled tokens: it never spans a tool's result or two rows. 0 where every
    n-gram is different, and for an attempt without a single n-gram; towards -weight for one token over and over.
    Source: the idea is the repetition penalty of Yeo et al. 2025 (arXiv 2502.03373, section 4.5), which puts it on
    tokens; a share per attempt, as here, is the common form.

    Raises ValueError if `size` is less than 1 or `weight` negative.
    """

    size: Count = 20  # our choice
    weight: Number = 1.0

    def __post_init__(self) -> None:
        if isinstance(self.size, (int, float)) and self.size < 1:
            raise ValueError(f"RepetitionPenalty.size must be at least 1 token, got {self.size}")
        if isinstance(self.weight, (int, float)) and self.weight < 0:
            raise ValueError(f"RepetitionPenalty.weight must be 0 or more (it is subtracted), got {self.weight}")

    def __call__(self, group: Group) -> Tensor:
        return torch.tensor([-float(self.weight) * self._repeated(t) for t in group.trajectories])

    def _repeated(self, trajectory: Trajectory) -> float:
        size = int(self.size)
        stretches = [stretch for row in trajectory.rows for stretch in _stretches(row) if len(stretch) >= size]
        if not stretches:
            return 0.0
        ngrams = torch.cat([stretch.unfold(0, size, 1) for stretch in stretches])  # [n-grams, size]
        return 1 - len(torch.unique(ngrams, dim=0)) / len(ngrams)


def _stretches(row: Row) -> list[Tensor]:
    """The runs of sampled tokens of a row."""
    places = row.sampled.nonzero().flatten()
    if not len(places):
        return []
    breaks = (places.diff() > 1).nonzero().flatten() + 1
    return [row.tokens[part] for part in torch.tensor_split(places, breaks.tolist())]
