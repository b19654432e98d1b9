"""How different the attempts of a group are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from whet.schedule import Count
from whet.types import Group, Row


@dataclass(frozen=True)
class Distinct:
    """value_g = different / all, over the n-grams of `size` sampled tokens of all attempts of the group together: the
    same for each attempt. An n-gram lies within one stretch of sampled tokens.

    "distinct-2" of Li et al. 2016 (arXiv 1510.03055), section 5, taken within a group: less where attempts are alike,
    and where they are long. 0 for a group without a single n-gram. ValueError if `size` is less than 1.
    """

    size: Count = 2

    def __post_init__(self) -> None:
        if isinstance(self.size, int | float) and self.size < 1:
            raise ValueError(f"Distinct.size must be at least 1 token, got {self.size}")

    def __call__(self, group: Group) -> Tensor:
        rows = [row for trajectory in group.trajectories for row in trajectory.rows]
        ngrams = [ngram for row in rows for ngram in self._ngrams(row)]
        return torch.full((len(group.trajectories),), len(set(ngrams)) / max(len(ngrams), 1))

    def _ngrams(self, row: Row) -> Iterator[tuple[int, ...]]:
        size, tokens, sampled = int(self.size), row.tokens.tolist(), row.sampled.tolist()
        for start in range(len(tokens) - size + 1):
            if all(sampled[start : start + size]):
                yield tuple(tokens[start : start + size])
