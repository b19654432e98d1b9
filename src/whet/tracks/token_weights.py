"""Which tokens of a reply decide, by a token-level reward model."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from whet.schedule import Number
from whet.tracks._scored import scored
from whet.types import Group, ModelName, Models, Trajectory, joined


@dataclass(frozen=True)
class TokenWeights:
    """Three tracks [T] of every attempt, 0 off its trained tokens:

    "weight/belief"   p_t = sigmoid(mean of s_1 .. s_t): how sure the reward model is, so far, that the reply is right
    "weight/right"    w+_t = clip((p_t - threshold) / (1 - threshold), 0, 1), for a reply that is right
    "weight/wrong"    w-_t = clip((1 - p_t - threshold) / (1 - threshold), 0, 1), for one that is wrong

    s_t, the score of token t in logits, is `model`'s value once the token has been read; the mean runs over trained
    tokens only. So a reply that has gone wrong has a high w- from there on, and its good beginning a low one. The last
    token of a row is read by nobody and has the belief of the one before it. What comes out is data: no gradient leads
    back to the model, and an update of this step does not change it.

    With `top` = a share in (0, 1], a weight is instead (x_t - min x) / (max x - min x) over the attempt, with x = p for
    w+ and 1 - p for w-, on the ceil(top * tokens) tokens with the largest x (all of those that are equal to the least
    of them), and 0 on the others.

    Source: OREAL (Lyu et al. 2025, arXiv 2502.06781), whose code has threshold 0.5 and, as an option, top 0.5. The
    model is trained by `objectives.outcome_score.OutcomeScore`. A model whose head is new says p = 1/2: every weight
    is 0. Raises ValueError for numbers out of range, and if the run has no such model.
    """

    model: ModelName = "scorer"
    threshold: Number = 0.5
    top: Number | None = None
    track: str = "weight"

    def __post_init__(self) -> None:
        if isinstance(self.threshold, (int, float)) and not 0 <= self.threshold < 1:
            raise ValueError(f"TokenWeights.threshold must lie in [0, 1), got {self.threshold}")
        if isinstance(self.top, (int, float)) and not 0 < self.top <= 1:
            raise ValueError(f"TokenWeights.top is a share and must lie in (0, 1], got {self.top}; None turns it off")

    async def __call__(self, models: Models, groups: list[Group]) -> list[Group]:
        spoken = await scored(models, groups, self.model, "values", self.track)
        return [replace(group, trajectories=tuple(map(self._weighed, group.trajectories))) for group in spoken]

    def _weighed(self, trajectory: Trajectory) -> Trajectory:
        trained, tracks = joined(trajectory, "trained"), dict(trajectory.tracks)
        belief = belief_so_far(*_scores(trajectory, tracks.pop(self.track)))
        for name, values in (
            ("belief", belief),
            ("right", self._weights(belief)),
            ("wrong", self._weights(1 - belief)),
        ):
            tracks[f"{self.track}/{name}"] = torch.zeros(len(trained)).masked_scatter(trained, values)
        return replace(trajectory, tracks=tracks)

    def _weights(self, x: Tensor) -> Tensor:
        return rescaled(x, self.threshold) if self.top is None else largest(x, self.top)


def belief_so_far(scores: Tensor, known: Tensor) -> Tensor:
    """[n] scores in logits, and which of them count -> [n]: sigmoid of the mean of those that count up to each place;
    1/2 before the first."""
    total = torch.where(known, scores, 0.0).double().cumsum(0)
    return (total / known.cumsum(0).clamp(min=1)).sigmoid().float()


def rescaled(x: Tensor, threshold: float) -> Tensor:
    """clip((x - threshold) / (1 - threshold), 0, 1): 0 up to the threshold, then linear up to 1."""
    return ((x - threshold) / (1 - threshold)).clamp(0.0, 1.0)


def largest(x: Tensor, share: float) -> Tensor:
    """(x - min) / (max - min) on the ceil(share * n) largest, 0 on the others; 0 everywhere where all are equal."""
    if not len(x) or bool(x.max() == x.min()):
        return torch.zeros_like(x)
    least = x.topk(math.ceil(share * len(x))).values[-1]
    return torch.where(x >= least, (x - x.min()) / (x.max() - x.min()), 0.0)


def _scores(trajectory: Trajectory, values: Tensor) -> tuple[Tensor, Tensor]:
    """The score of each trained token, and whether it has one: a state's value belongs to the token before it."""
    scores, known = [], []
    for row, value in zip(trajectory.rows, values.split([len(row) for row in trajectory.rows]), strict=True):
        spoken = value[row.trained]
        if len(spoken):
            scores.append(torch.cat([spoken[1:], spoken.new_zeros(1)]))
            known.append(torch.arange(len(spoken)) < len(spoken) - 1)
    if not scores:
        return torch.zeros(0), torch.zeros(0, dtype=torch.bool)
    return torch.cat(scores), torch.cat(known)
