"""What the losses of whole texts share: sums over an attempt's tokens, and numbers of an attempt back on its tokens."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from whet.objectives._masked import advantage, masked, track
from whet.types import Batch, Outputs


class Attempts:
    """The N attempts of a batch: all rows of one trajectory. An attempt's number is the same for any split of the batch
    that leaves attempts whole."""

    def __init__(self, batch: Batch) -> None:
        self.trained = batch.trained
        ids, self.place = torch.unique(batch.trajectory, return_inverse=True)
        self.count = len(ids)

    def sum(self, values: Tensor) -> Tensor:
        """[N]: the sum of `values` [B, T] over each attempt's rows."""
        return values.new_zeros(self.count).index_add(0, self.place, values.sum(1))

    def mean(self, values: Tensor) -> Tensor:
        """[N]: the mean over the rows of each attempt of a number per row, [B]."""
        rows = values.new_zeros(self.count).index_add(0, self.place, torch.ones_like(values))
        return values.new_zeros(self.count).index_add(0, self.place, values) / rows

    def spread(self, values: Tensor) -> Tensor:
        """[B, T]: each attempt's number on all its trained tokens, 0 elsewhere. Under `SequenceMean` the loss is then
        the mean of the numbers over attempts."""
        return torch.where(
            self.trained, values[self.place][:, None], torch.zeros((), dtype=values.dtype, device=values.device)
        )

    def once(self, values: Tensor) -> Tensor:
        """[B, T]: each attempt's number on its last trained token, NaN elsewhere: a metric whose mean over tokens is
        one over attempts."""
        flat = torch.arange(self.trained.numel(), device=self.trained.device).view(self.trained.shape)
        rows = torch.where(self.trained, flat, -1).amax(1)
        last = rows.new_full((self.count,), -1).scatter_reduce(0, self.place, rows, "amax")
        out = values.new_full((self.trained.numel(),), math.nan)
        out[last[last >= 0]] = values.detach()[last >= 0]
        return out.view(self.trained.shape)


def sides(values: Tensor, batch: Batch, attempts: Attempts) -> tuple[Tensor, Tensor]:
    """[N] and [N]: of each attempt the sum of |A_t| values_t over the tokens that it prefers, A_t > 0, and over those
    that it rejects, A_t < 0. `values` are 0 off the trained tokens."""
    credit = advantage(batch)
    zero = torch.zeros((), dtype=values.dtype, device=values.device)
    weighed = credit * values
    return attempts.sum(torch.where(credit > 0, weighed, zero)), attempts.sum(torch.where(credit < 0, -weighed, zero))


def moved(outputs: Outputs, batch: Batch, name: str, who: str) -> Tensor:
    """[B, T] nats: log pi - log pi_ref on trained tokens, 0 elsewhere. ValueError for a batch without the track."""
    reference = track(batch, name, who, "learn with the stage Preference or Feedback, which adds it")
    return masked(outputs.logprobs, batch) - reference


def ahead(margin: Tensor) -> Tensor:
    """[N]: 1 where the chosen side is ahead, 0 where it is behind, half for a tie."""
    return (margin.detach().sign() + 1) / 2


def logprobs_of_sides(outputs: Outputs, batch: Batch, attempts: Attempts) -> tuple[Tensor, Tensor]:
    """[N] nats and [N] nats: the log-prob of what each attempt prefers, and of what it rejects."""
    values, credit = masked(outputs.logprobs, batch).detach(), advantage(batch)
    return attempts.sum(values * (credit > 0)), attempts.sum(values * (credit < 0))


def pair_metrics(
    outputs: Outputs, batch: Batch, attempts: Attempts, chosen: Tensor, rejected: Tensor
) -> dict[str, Tensor]:
    """What is told of pairs with these implicit rewards, once per pair."""
    said, unsaid = logprobs_of_sides(outputs, batch, attempts)
    numbers = {
        "accuracy": ahead(chosen - rejected),
        "reward/chosen": chosen,
        "reward/rejected": rejected,
        "reward/margin": chosen - rejected,
        "logprob/chosen": said,
        "logprob/rejected": unsaid,
    }
    return {name: attempts.once(value) for name, value in numbers.items()}


def check_positive(who: str, **numbers: Any) -> None:
    """ValueError for a number that is not above 0; schedules are looked at when they have become numbers."""
    for name, value in numbers.items():
        if isinstance(value, (int, float)) and not value > 0:
            raise ValueError(f"{who}.{name} must be above 0, got {value}")
