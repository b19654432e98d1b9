"""What a critic learns from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from whet.objectives._masked import check_range, masked, track
from whet.schedule import Number
from whet.types import Batch, Outputs


@dataclass(frozen=True)
class Value:
    """loss_t = (V_t - R_t)^2 / 2 with R_t = batch.targets.

    With `clip` = c: max((V_t - R_t)^2, (W_t - R_t)^2) / 2,   W_t = V_old + clip(V_t - V_old, -c, c), where V_old is the
    track `track`: the critic's values when the attempts were scored. Source: the value loss of PPO's reference code
    (Schulman et al. 2017, arXiv 1707.06347, equation 9, where the value term is not clipped).

    0 off the trained tokens. Raises ValueError for a negative `clip`, and for a batch without targets or, with `clip`,
    without the track.
    """

    clip: Number | None = None
    track: str = "values"

    needs: ClassVar[tuple[str, ...]] = ("values",)

    def __post_init__(self) -> None:
        check_range("Value", clip=0 if self.clip is None else self.clip)

    def __call__(self, outputs: Outputs, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        if batch.targets is None:
            raise ValueError(
                "Value needs targets and the batch has none; use an advantage that gives them, such as GAE"
            )
        assert outputs.values is not None
        values, targets = masked(outputs.values, batch), masked(batch.targets, batch)
        error = (values - targets) ** 2
        metrics = {"value": values.detach(), "value_error": error.detach()}
        if self.clip is not None:
            old = track(batch, self.track, "Value(clip=...)", "add Values() to the stage's tracks")
            near = (old + (values - old).clamp(-self.clip, self.clip) - targets) ** 2
            metrics["value_clip_fraction"] = (near > error).to(error.dtype)
            error = torch.maximum(error, near)
        return error / 2, metrics
