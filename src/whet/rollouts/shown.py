"""A worked answer beside the attempts, for a loss that imitates."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch

from whet.rollouts.sample import Sample
from whet.types import Group, ModelName, Models, Policy, Problem, Rollout, Trajectory


@dataclass(frozen=True)
class Shown:
    """The groups of `rollout`, to the token, and a group `name` of one text: y* = `problem.info[solution]` with the end
    of the turn, which nobody sampled and every token of which is trained.

    Statistics never cross groups: a group of one has advantage 0, so no policy gradient comes of it, whatever it is
    paid. What imitates it is an auxiliary loss on these groups alone, beside one on the others:

        Train(Clip(), OfGroups(("direct",)), auxiliary={"clone": Auxiliary(Likelihood(), OfGroups(("shown",)), lam)})

    is J - lam * (-log pi(y* | x)), a mean over tokens in either part. A problem without a worked answer is played all
    the same, with nothing to imitate, for expert sets are small; so is one whose answer does not fit the context, since
    a text without its end would teach running on.

    Source: the behaviour cloning of RAIF (Qin et al. 2025, arXiv 2506.01413).
    Raises ValueError where `rollout` makes a group of that name itself, and for a worked answer that is no text.
    """

    rollout: Rollout = field(default_factory=Sample)
    solution: str = "solution"
    model: ModelName = "policy"
    name: str = "shown"

    async def __call__(self, models: Models, problem: Problem, seed: int) -> list[Group]:
        groups = await self.rollout(models, problem, seed)
        if any(group.name == self.name for group in groups):
            raise ValueError(f"Shown.name is {self.name!r}, and the rollout has such a group too; give it another name")
        text = problem.info.get(self.solution)
        if not text:
            return groups
        if not isinstance(text, str):
            raise ValueError(
                f"problem {problem.id!r}: info[{self.solution!r}] must be a text to show, got {type(text).__name__}"
            )
        shown = _imitated(models[self.model], problem, text)
        return [*groups, Group(problem, (shown,), self.name)] if shown.stop == "eos" else groups


def _imitated(policy: Policy, problem: Problem, text: str) -> Trajectory:
    """The prompt and what the policy should have said; "length" where it does not fit."""
    opened = policy.open(problem)
    start = len(opened.rows[-1])
    said = policy.insert(opened, text, "assistant")
    row = said.rows[-1]
    row = replace(row, trained=torch.arange(len(row)) >= start)
    turn = replace(said.turns[-1], role="policy")  # so that a reward reads it
    return replace(said, rows=(*said.rows[:-1], row), turns=(*said.turns[:-1], turn), stop=said.stop or "eos")


EXAMPLES = [Shown(), Shown(solution="columns")]
