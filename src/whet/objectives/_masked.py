"""What the objectives share: numbers that are safe where nothing is trained, and ratios that cannot overflow."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from whet.types import Batch, Outputs

LIMIT = 20.0  # our choice, nats: e^20 = 5e8 is far outside any trust region and still finite in float32


def masked(values: Tensor, batch: Batch) -> Tensor:
    """`values` where the loss sees the token, 0 elsewhere, in value and in gradient, whatever stands there (NaN, inf).

    It must come before any exp: masking afterwards leaves 0 * inf = NaN in the gradient."""
    return torch.where(batch.trained, values, torch.zeros((), dtype=values.dtype, device=values.device))


def log_ratio(outputs: Outputs, batch: Batch) -> Tensor:
    """[B, T] nats: log pi - log pi_old on trained tokens, clamped to +-LIMIT; 0 elsewhere."""
    return (masked(outputs.logprobs, batch) - masked(batch.old, batch)).clamp(-LIMIT, LIMIT)


def advantage(batch: Batch) -> Tensor:
    """[B, T]: the advantages on trained tokens, 0 elsewhere."""
    return masked(batch.advantages, batch)


def track(batch: Batch, name: str, who: str, remedy: str) -> Tensor:
    """[B, T]: a named track, masked. ValueError where the batch has none."""
    if name not in batch.tracks:
        raise ValueError(f'{who} needs the track "{name}", the batch has {sorted(batch.tracks)}; {remedy}')
    return masked(batch.tracks[name].to(batch.logprobs.dtype), batch)


def ratio_metrics(log_ratios: Tensor, trained: Tensor) -> dict[str, Tensor]:
    """How far the policy has moved within this step: the ratio, and the k3 estimate of KL(old || new) in nats."""
    log_ratios = log_ratios.detach()
    ratios = log_ratios.exp()
    return {"ratio": ratios * trained, "kl_old": ratios - 1 - log_ratios}


def gradient_metrics(slope: Tensor, clipped: Tensor) -> dict[str, Tensor]:
    """Where the gradient comes from: |d loss / d log pi| of every token, and of those alone that lie outside the clip
    range. The one's mean over the other's is the share that clipped tokens have in the batch's gradient."""
    size = slope.detach().abs()
    return {"gradient/all": size, "gradient/clipped": size * clipped}


def check_range(who: str, **numbers: Any) -> None:
    """ValueError for a number below 0; schedules are looked at when they have become numbers."""
    for name, value in numbers.items():
        if isinstance(value, (int, float)) and not value >= 0:
            raise ValueError(f"{who}.{name} must be 0 or more, got {value}")


def check_dual(who: str, dual: Any) -> None:
    """ValueError for a dual clip that would cut what is inside the range."""
    if isinstance(dual, (int, float)) and not dual > 1:
        raise ValueError(f"{who}.dual must be above 1, got {dual}; None turns it off")


def needs_of(objective: Any, *more: str) -> tuple[str, ...]:
    """What an objective and the one inside it need, each named once."""
    return tuple(dict.fromkeys([*more, *getattr(objective, "needs", ())]))
