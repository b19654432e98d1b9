"""Log-probs of what was sampled under another model."""

from __future__ import annotations

from dataclasses import dataclass

from whet.schedule import Number
from whet.tracks._scored import scored
from whet.types import Group, ModelName, Models


@dataclass(frozen=True)
class Logprobs:
    """track[t] = log p(token t | tokens < t) under `model`, in nats: [T] per attempt, of the very tokens of its rows,
    an end-of-sequence token among them.

    What `KL`, `WithKL`, `KLPenalty` and `MinusKL` compare with. The temperature is the row's own, so that like is
    compared with like, or `temperature`: a teacher's usual one is 1, however its student samples.

    Raises ValueError if the run has no such model, and for a `temperature` that is not above 0. That a local model has
    the policy's tokenizer is checked before the run.
    """

    model: ModelName = "reference"
    track: str = "reference"
    temperature: Number | None = None

    def __post_init__(self) -> None:
        if isinstance(self.temperature, (int, float)) and not self.temperature > 0:
            raise ValueError(f"Logprobs.temperature must be above 0, got {self.temperature}; None is the row's own")

    async def __call__(self, models: Models, groups: list[Group]) -> list[Group]:
        return await scored(models, groups, self.model, "logprobs", self.track, self.temperature)
