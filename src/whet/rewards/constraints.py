"""How many of an instruction's constraints an answer meets, with a step where it meets them all."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import torch
from torch import Tensor

from whet.rewards.format import TagFormat
from whet.rewards.text import response, tagged
from whet.schedule import Number
from whet.types import Group
from whet.verifiers.constraints import active, piecewise, read


@dataclass(frozen=True)
class MetConstraints:
    """value_g = full                  if all active constraints hold in attempt g's answer
                 held / active         if some do, at least one
                 none                  if none does, and where the attempt breaks `format`.

    For [T, T, T] 2, for [T, F, F, F] 0.25, for [F, F] -2; a branch that is not taken is in no count. The step from
    1 - 1/C to `full` is meant: do not rescale it. `group.problem.answer` holds the constraints, see
    `verifiers.constraints.verify`, and what is quoted from the instruction counts for no keyword. The answer is what
    stands in the last of the format's tags; a blank block of thought is allowed by default, so that attempts that were
    kept from thinking are judged alike (`rollouts.forced.Forced`).

    Source: RAIF (Qin et al. 2025, arXiv 2506.01413, equations 5 and 6): its reward is this and
    `TagFormat(broken=-1, blank=("think",))`, each with weight 1. The paper does not say what an attempt with a broken
    format gets here; `none`, so -3 in all, is our choice.

    Raises ValueError for constraints that can not be read, and where none is active in an answer.
    """

    format: TagFormat = field(default_factory=lambda: TagFormat(blank=("think",)))
    full: Number = 2.0
    none: Number = -2.0

    def __call__(self, group: Group) -> Tensor:
        return torch.tensor([self._value(group, response(trajectory)) for trajectory in group.trajectories])

    def _value(self, group: Group, text: str) -> float:
        answer = tagged(text, self.format.tags[-1])
        if answer is None or not self.format.holds(text):
            return float(self.none)
        gold = group.problem.answer
        rules = read(gold if isinstance(gold, str) else json.dumps(gold))
        held = [holds for _, holds in active(rules.constraints, answer, rules.instruction, rules.quote)]
        return piecewise(held, float(self.full), float(self.none))


EXAMPLES = [MetConstraints(TagFormat(("plan", "answer")))]  # of answers that hold no constraints
