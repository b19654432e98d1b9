"""What a critic expects at every token."""

from __future__ import annotations

from dataclasses import dataclass

from whet.tracks._scored import scored
from whet.types import Group, ModelName, Models


@dataclass(frozen=True)
class Values:
    """track[t] = V(tokens < t) under `model`, the value of the state before token t: [T] per attempt.

    What `GAE` and the clipped `Value` loss read. Raises ValueError if the run has no such model.
    """

    model: ModelName = "critic"
    track: str = "values"

    async def __call__(self, models: Models, groups: list[Group]) -> list[Group]:
        return await scored(models, groups, self.model, "values", self.track)
