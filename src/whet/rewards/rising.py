"""Counting upwards."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from whet.rewards.text import response
from whet.schedule import Count
from whet.types import Group


@dataclass(frozen=True)
class Rising:
    """value_g = k_g / max(w_g, least / 2),   w_g the words of attempt g, between blanks, k_g how many of its numbers
    are strictly rising from the first on. Words that are no numbers are passed over, and count in w_g.

    "1 2 3 2 5" with `least` 20 is 3 / 10; an attempt without a number is 0; an empty one, too.

    Source: the synthetic task of RL4LMs (Ramamurthy et al. 2022, arXiv 2210.01241), in its repository. ValueError for a
    `least` that is negative.
    """

    least: Count = 20

    def __post_init__(self) -> None:
        if isinstance(self.least, int | float) and self.least < 0:
            raise ValueError(f"Rising.least must be 0 words or more, got {self.least}")

    def __call__(self, group: Group) -> Tensor:
        return torch.tensor([self._value(response(trajectory).split()) for trajectory in group.trajectories])

    def _value(self, words: list[str]) -> float:
        numbers = [int(word) for word in words if word.isascii() and word.isdigit() and len(word) < 19]
        rising = 0
        while rising < len(numbers) and (rising == 0 or numbers[rising] > numbers[rising - 1]):
            rising += 1
        return rising / max(len(words), self.least / 2) if rising else 0.0
