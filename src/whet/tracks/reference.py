"""Log-probs of what was sampled under another model."""

from __future__ import annotations

from dataclasses import dataclass

from whet.tracks._scored import scored
from whet.types import Group, ModelName, Models


@dataclass(frozen=True)
class Logprobs:
    """track[t] = log p(token t | tokens < t) under `model`, in nats, at the row's own temperature: [T] per attempt.

    What `WithKL` and `KLPenalty` compare with. Raises ValueError if the run has no such model.
    """

    model: ModelName = "reference"
    track: str = "reference"

    async def __call__(self, models: Models, groups: list[Group]) -> list[Group]:
        return await scored(models, groups, self.model, "logprobs", self.track)
