"""What the estimators share: outcomes of a group, and one number per attempt laid over its trained tokens."""

from __future__ import annotations

import torch
from torch import Tensor

from whet.types import Scored, joined, owners, summed

_ROUNDING = 1e-6  # our choice: rewards that differ by less than this share of the largest are one reward in float32


def outcomes(scored: Scored) -> Tensor:
    """R_i = sum_t r_{i,t}: [G] float64, so that statistics of equal rewards are free of rounding."""
    return summed(scored.rewards)


def centred(rewards_G: Tensor) -> Tensor:
    """R_i - mean(R): [G]. Equal rewards give exactly 0: 0.1 - mean(0.1, 0.1, 0.1) is not 0 in floating point, and
    dividing by a standard deviation would blow that up."""
    if not len(rewards_G):
        return rewards_G
    spread = rewards_G.max() - rewards_G.min()
    if spread <= _ROUNDING * rewards_G.abs().max():
        return torch.zeros_like(rewards_G)
    return rewards_G - rewards_G.mean()


def over_std(values: Tensor, std: Tensor | float, eps: float) -> Tensor:
    """values / (std + eps); where that would be 0 / 0, 0."""
    return torch.where(values == 0, 0.0, values / (std + eps))


def on_trained(scored: Scored, values_G: Tensor) -> list[Tensor]:
    """G x [T] float32: attempt i's value on each of its trained tokens, 0 elsewhere."""
    trained = [joined(trajectory, "trained") for trajectory in scored.group.trajectories]
    if not trained:
        return []
    lengths = [len(on) for on in trained]
    return list((torch.cat(trained) * values_G.float()[owners(lengths)]).split(lengths))


def whitened(values: list[list[Tensor]], scored_P: list[Scored], eps: float) -> list[list[Tensor]]:
    """(x - mean(x)) / (std(x) + eps) over all trained tokens of the batch, population std; 0 elsewhere. P x G x [T]"""
    trained = [[joined(t, "trained") for t in scored.group.trajectories] for scored in scored_P]
    seen = [x[on] for xs, ons in zip(values, trained, strict=True) for x, on in zip(xs, ons, strict=True)]
    if not seen:
        return values
    flat = torch.cat(seen).double()
    flat = over_std(centred(flat), flat.std(unbiased=False), eps) if len(flat) else flat
    parts = iter(flat.float().split([len(x) for x in seen]))
    return [
        [
            torch.zeros_like(x, dtype=torch.float32).masked_scatter(on, next(parts))
            for x, on in zip(xs, ons, strict=True)
        ]
        for xs, ons in zip(values, trained, strict=True)
    ]
