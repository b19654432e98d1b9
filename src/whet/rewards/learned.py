"""What a reward model thinks of an attempt."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from whet.types import Group, ModelName, Models, Row


@dataclass(frozen=True)
class LearnedReward:
    """value_g = clip((r_g - mean) / std, -clip, clip), r_g the score that the model `model` gives attempt g: its value
    before the last sampled token of the attempt's last row, which ends the text.

    What the stage `RewardModel` trains scores texts so. It reads the attempt's own tokens, so it must have the policy's
    tokenizer. An attempt that was cut off is scored like one that has ended; to make it worth less, add the term
    `Finished`. `mean` and `std` bring the scores of a model to a known scale (Ziegler et al. 2019, arXiv 1909.08593);
    `RewardModel(standardise=True)` has done that already. `clip` bounds what a score far outside of what the model has
    seen can do ("Secrets of RLHF", Zheng et al. 2023, arXiv 2307.04964); None: no bound.

    A score that is not finite is no verdict (NaN). Raises ValueError for a `std` or `clip` that is not above 0, and
    where the run has no such model or it has no value head.
    """

    asks_models: ClassVar[bool] = True
    reads_tokens: ClassVar[tuple[str, ...]] = ("model",)

    model: ModelName = "reward"
    mean: float = 0.0
    std: float = 1.0
    clip: float | None = None

    def __post_init__(self) -> None:
        for name, value in (("std", self.std), ("clip", self.clip)):
            if value is not None and not value > 0:
                raise ValueError(f"LearnedReward.{name} must be above 0, got {value}")

    async def __call__(self, models: Models, group: Group) -> Tensor:
        if self.model not in models:
            raise ValueError(f"LearnedReward asks {self.model!r}, the run has {sorted(models)}; add it to `models`")
        rows = [trajectory.rows[-1] for trajectory in group.trajectories]
        told = await models[self.model].score(rows, ("values",))
        scores = torch.stack([said["values"][_end(row)] for row, said in zip(rows, told, strict=True)])
        scores = (scores - self.mean) / self.std
        scores = torch.where(scores.isfinite(), scores, math.nan)
        return scores if self.clip is None else scores.clamp(-self.clip, self.clip)


def _end(row: Row) -> int:
    """The place of the last sampled token, or of the last token where none is sampled."""
    sampled = row.sampled.nonzero()
    return int(sampled[-1]) if len(sampled) else len(row) - 1
