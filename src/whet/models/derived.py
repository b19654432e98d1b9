"""Models of a run that are made from another of its models when a stage begins."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch

from whet.models.lm import LM
from whet.types import ModelName


@dataclass(frozen=True)
class Copy:
    """A copy of a model as it was when the stage began; it stays as it is unless the stage trains it. What "reference"
    means if a stage says nothing else."""

    source: ModelName = "policy"

    def derive(self, source: LM) -> LM:
        return copy.deepcopy(source)


@dataclass(frozen=True)
class Follow:
    """A copy that follows its source: set equal to it every `every` steps, or moved towards it after each step by
    follower = tau * follower + (1 - tau) * source. Exactly one of the two is given."""

    source: ModelName = "policy"
    every: int = 0
    tau: float = 0.0

    def __post_init__(self) -> None:
        if (self.every > 0) == (self.tau > 0) or self.every < 0 or not 0 <= self.tau < 1:
            raise ValueError(
                f"Follow needs either every >= 1 or 0 < tau < 1, got every={self.every}, tau={self.tau}; "
                "for one that stays as it is use Copy"
            )

    def derive(self, source: LM) -> LM:
        return copy.deepcopy(source)

    @torch.no_grad()
    def follow(self, follower: LM, source: LM, step: int) -> None:
        """Move `follower` after update number `step` (the first update is 1)."""
        if self.every and step % self.every:
            return
        for mine, theirs in zip(follower.learned().values(), source.learned().values(), strict=True):
            mine.lerp_(theirs, 1 - self.tau) if self.tau else mine.copy_(theirs)


@dataclass(frozen=True)
class Critic:
    """A copy with a value head: PPO's critic, which starts from the policy's weights and learns on its own.
    Values are 0 at first, so the first advantages are the returns."""

    source: ModelName = "policy"

    def derive(self, source: LM) -> LM:
        return copy.deepcopy(source).add_value_head()


@dataclass(frozen=True)
class Start:
    """A copy of the policy as it was when the run began, in whatever stage: under which to measure how natural the
    texts are that it writes after training. A run keeps that model where a stage asks for it."""

    source: str = "start"

    def derive(self, source: LM) -> LM:
        return copy.deepcopy(source)


Derived = Copy | Follow | Critic | Start
