"""Two ways to play a problem, side by side."""

from __future__ import annotations

from asyncio import gather
from dataclasses import dataclass, field

from whet.randomness import stream
from whet.rollouts.forced import Forced
from whet.rollouts.sample import Sample
from whet.types import Decoding, Group, Models, Problem, Rollout


@dataclass(frozen=True)
class Beside:
    """The groups of `rollout`, and those of `other` on the same problem: by default attempts that think, and as many
    that may not, which nobody learns from and `filters.worth_thinking.WorthThinking` compares with.

    `rollout` gets the seed itself, so its attempts are those that it makes alone, to the token. Groups have the same
    place in the draw and are told apart by their names. Raises ValueError where a name comes twice.
    """

    rollout: Rollout = field(default_factory=Sample)
    other: Rollout = field(default_factory=lambda: Forced(trained=False))

    async def __call__(self, models: Models, problem: Problem, seed: int) -> list[Group]:
        both = (self.rollout(models, problem, seed), self.other(models, problem, stream(seed, "beside")))
        groups = [group for played in await gather(*both) for group in played]
        names = [group.name for group in groups]
        if len(set(names)) < len(names):
            raise ValueError(
                f"Beside made groups named {names}, which can not be told apart; give each a name of its own"
            )
        return groups


_LITTLE = Decoding(max_tokens=5)
EXAMPLES = [Beside(Sample(3, _LITTLE), Forced("1", "2", 3, _LITTLE, trained=False))]
