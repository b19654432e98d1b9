"""Which rows belong to which attempt."""

from __future__ import annotations

import torch
from torch import Tensor

from whet.types import Batch


def attempts(batch: Batch) -> tuple[Tensor, Tensor, int]:
    """For each row its attempt's place [B]; for each attempt its number of trained tokens [N] float64; and how many
    attempts have any (at least 1, so that it may divide)."""
    ids, place = torch.unique(batch.trajectory, return_inverse=True)
    tokens = torch.zeros(len(ids), dtype=torch.float64, device=batch.trained.device)
    tokens = tokens.index_add(0, place, batch.trained.sum(1).double())
    return place, tokens, max(int((tokens > 0).sum()), 1)
