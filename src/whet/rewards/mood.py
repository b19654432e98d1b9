"""How glad a text sounds, by the words in it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from whet.rewards.text import response
from whet.types import Group

_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Mood:
    """value_g = 1 / (1 + exp(bad_g - good_g)),   good_g and bad_g the words of attempt g that are in `good`, in `bad`.

    A classifier that looks at words alone: 1/2 where it sees none, and it soon has enough of them. Capitals do not
    matter; a word that stands twice counts twice. It stands in for the sentiment classifier that RL4LMs (Ramamurthy et
    al. 2022, arXiv 2210.01241) takes as the reward of its IMDB task.

    Raises ValueError where a list is empty, or a word is in both.
    """

    good: Sequence[str] = ("good", "great", "fine")  # our choice
    bad: Sequence[str] = ("bad", "awful", "poor")  # our choice

    def __post_init__(self) -> None:
        if not self.good or not self.bad or set(self.good) & set(self.bad):
            both = sorted(set(self.good) & set(self.bad))
            raise ValueError(f"Mood needs good and bad words, and none that is both, got {both or 'an empty list'}")

    def __call__(self, group: Group) -> Tensor:
        good, bad = frozenset(self.good), frozenset(self.bad)
        said = [_WORD.findall(response(trajectory).lower()) for trajectory in group.trajectories]
        score = [float(sum(word in good for word in words) - sum(word in bad for word in words)) for words in said]
        return torch.tensor(score).sigmoid()
