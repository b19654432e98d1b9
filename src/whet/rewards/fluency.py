"""How natural a text is to a language model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from whet.types import Group, ModelName, Models, joined


@dataclass(frozen=True)
class Fluency:
    """value_g = mean over the sampled tokens t of attempt g of log p(t | tokens < t) under `model`, in nats per token:
    -log of the text's perplexity, so that more is better. At the row's own temperature; greedy rows at 1.

    As a measure of what a policy writes after training, `model` is the policy as it was before,
    `Evaluate(models={"start": Start()})`. NaN for an attempt without a sampled token. Raises ValueError where the run
    has no such model.
    """

    asks_models: ClassVar[bool] = True

    model: ModelName = "start"

    async def __call__(self, models: Models, group: Group) -> Tensor:
        if self.model not in models:
            raise ValueError(f"Fluency.model names {self.model!r} and the run has {sorted(models)}; add or rename it")
        rows = [row for trajectory in group.trajectories for row in trajectory.rows]
        said = iter([answer["logprobs"] for answer in await models[self.model].score(rows)] if rows else [])
        of_G = [torch.cat([next(said) for _ in t.rows])[joined(t, "sampled")] for t in group.trajectories]
        return torch.stack([values.mean() if len(values) else torch.tensor(torch.nan) for values in of_G])


EXAMPLES: list[Any] = []  # there is none without a model
