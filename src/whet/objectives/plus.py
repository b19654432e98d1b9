"""Different objectives for different kinds of group, in one loss."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from whet.objectives._masked import needs_of
from whet.objectives.clip import Clip
from whet.objectives.likelihood import Likelihood
from whet.types import Batch, Objective, Outputs


@dataclass(frozen=True)
class Plus:
    """loss_t = objectives[name of the row's group]_t:  Plus({"direct": Clip(), "demonstration": Likelihood()}).

    Each objective sees the whole batch with only its own rows' tokens trained. Its metrics are named
    "group name/metric" and are NaN, "no such number", on every other row.

    Raises ValueError for an empty mapping and for a batch with a group name that no objective speaks of.
    """

    objectives: Mapping[str, Objective]

    def __post_init__(self) -> None:
        if not self.objectives:
            raise ValueError(
                'Plus.objectives is empty; give an objective per group name, as in Plus({"direct": Clip()})'
            )

    @property
    def needs(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(need for objective in self.objectives.values() for need in needs_of(objective)))

    @property
    def exact_gradient(self) -> bool:
        return all(getattr(objective, "exact_gradient", True) for objective in self.objectives.values())

    def __call__(self, outputs: Outputs, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        unknown = sorted(set(batch.name) - set(self.objectives))
        if unknown:
            raise ValueError(
                f"Plus has no objective for groups named {unknown}, only for {sorted(self.objectives)}; "
                "give one for every group name that the rollout makes"
            )
        total, metrics = torch.zeros_like(outputs.logprobs), {}
        for name, objective in self.objectives.items():
            mine = torch.tensor([row == name for row in batch.name], dtype=torch.bool, device=batch.trained.device)
            loss, told = objective(outputs, replace(batch, trained=batch.trained & mine[:, None]))
            total = total + loss
            for metric, value in told.items():
                metrics[f"{name}/{metric}"] = value.masked_fill(~mine[:, None], math.nan)
        return total, metrics


EXAMPLES = [Plus({"direct": Clip(), "demonstration": Likelihood()})]
