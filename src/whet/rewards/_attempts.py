"""What rewards for length ask of a group."""

from __future__ import annotations

import inspect

import torch
from torch import Tensor

from whet.types import Group, Judged, Term, sampled_count


def lengths(group: Group) -> Tensor:
    """[G] float: the tokens that the model chose, the one that ends an attempt among them."""
    return torch.tensor([float(sampled_count(trajectory)) for trajectory in group.trajectories])


async def outcome(term: Term, group: Group) -> Tensor:
    """[G]: what a term gives each attempt; values per token are summed."""
    value = term(group)
    if inspect.isawaitable(value):
        value = await value
    if isinstance(value, Judged):
        value = value.values
    return value if isinstance(value, Tensor) else torch.stack([tokens.sum() for tokens in value])
