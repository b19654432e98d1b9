"""The plain rollout: G independent attempts."""

from __future__ import annotations

from asyncio import gather
from dataclasses import dataclass

from whet.randomness import stream
from whet.schedule import Count
from whet.types import Decoding, Group, ModelName, Models, Problem


@dataclass(frozen=True)
class Sample:
    """y_1, ..., y_G ~ policy(. | prompt), independently: G = `group` attempts at one problem, in one group `name`.

    The prompt is opened once and extended G times, each by its own stream, so attempt g is the same whatever G is.
    """

    group: Count = 8
    decoding: Decoding = Decoding()
    model: ModelName = "policy"
    name: str = "direct"

    def __post_init__(self) -> None:
        if isinstance(self.group, int | float) and self.group < 1:
            raise ValueError(f"Sample.group must be at least 1 attempt, got {self.group}")

    async def __call__(self, models: Models, problem: Problem, seed: int) -> list[Group]:
        policy = models[self.model]
        opened = policy.open(problem)
        seeds = [stream(seed, "attempt", g) for g in range(int(self.group))]
        attempts = await gather(*(policy.extend(opened, self.decoding, s) for s in seeds))
        return [Group(problem, tuple(attempts), self.name)]
