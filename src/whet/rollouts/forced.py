"""Attempts whose first words are given: with an empty block of thought in front, a model answers at once."""

from __future__ import annotations

from asyncio import gather
from dataclasses import dataclass, replace

import torch

from whet.randomness import stream
from whet.schedule import Count
from whet.types import Decoding, Group, ModelName, Models, Policy, Problem, Trajectory


@dataclass(frozen=True)
class Forced:
    """y_1, ..., y_G ~ policy(. | prompt, prefix), independently: G = `group` attempts in one group `name`, each of
    which begins with the tokens of `prefix`, which nobody sampled and nobody learns from.

    The prefix stands in the policy's turn, so a reward reads it with the rest. Its tokens must be those that the model
    has seen there: with `follows`, the text that comes next in what it was trained on, they are compared with the ones
    that the two texts give together, and ValueError is raised where a token lies across the border. `trained=False`
    keeps the whole group out of the loss, for attempts that others are only compared with.

    Source: the no-thinking outputs that RAIF compares with (Qin et al. 2025, arXiv 2506.01413, equation 7).
    Raises ValueError for fewer than one attempt, an empty prefix, and where prompt and prefix fill the context.
    """

    prefix: str = "<think></think>"
    follows: str = "<answer>"
    group: Count = 8
    decoding: Decoding = Decoding()
    model: ModelName = "policy"
    name: str = "no-think"
    trained: bool = True

    def __post_init__(self) -> None:
        if isinstance(self.group, int | float) and self.group < 1:
            raise ValueError(f"Forced.group must be at least 1 attempt, got {self.group}")
        if not self.prefix:
            raise ValueError("Forced.prefix is empty; give the text that attempts begin with, or take Sample")

    async def __call__(self, models: Models, problem: Problem, seed: int) -> list[Group]:
        policy = models[self.model]
        opened = self._opened(policy, problem)
        seeds = [stream(seed, "forced", g) for g in range(int(self.group))]
        attempts = await gather(*(policy.extend(opened, self.decoding, s) for s in seeds))
        attempts = attempts if self.trained else [_untrained(trajectory) for trajectory in attempts]
        return [Group(problem, tuple(attempts), self.name)]

    def _opened(self, policy: Policy, problem: Problem) -> Trajectory:
        """The prompt and the prefix, as the policy's own words."""
        bare = policy.open(problem)
        opened = policy.insert(bare, self.prefix)
        tokens = opened.rows[-1].tokens
        whole = policy.insert(bare, self.prefix + self.follows).rows[-1].tokens
        if not whole[: len(tokens)].equal(tokens):
            raise ValueError(
                f"Forced.prefix {self.prefix!r} has other tokens where {self.follows!r} follows it, so the model would "
                "be asked to go on from what it has never seen; let the prefix end where a token ends"
            )
        said = replace(opened.turns[-1], role="policy", text=self.prefix)
        return replace(opened, turns=(*opened.turns[:-1], said))


def _untrained(trajectory: Trajectory) -> Trajectory:
    rows = (replace(row, trained=torch.zeros_like(row.trained)) for row in trajectory.rows)
    return replace(trajectory, rows=tuple(rows))


EXAMPLES = [Forced("1", "2", 3, Decoding(max_tokens=5))]
