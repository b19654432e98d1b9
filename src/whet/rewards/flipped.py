"""A judge that errs, at a rate that is known."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import torch

from whet.randomness import generator
from whet.rewards.reasoned import Reasoned
from whet.rewards.text import response
from whet.schedule import Number
from whet.types import Group, Judged, Term, Trajectory


@dataclass(frozen=True)
class Flipped:
    """value_g = 1 - v_g with probability `rate`, else v_g, v_g in {0, 1} what `term` gives attempt g; NaN stays NaN.

    The draw belongs to the problem, the attempt's text and `call`: asked twice about one text, a judge says the same,
    and judges of different `call` err independently. So the error of a judge can be studied where the truth is known.
    Raises ValueError for a rate outside [0, 1], and when `term` gives anything but 0, 1 and NaN.
    """

    term: Term = Reasoned()
    rate: Number = 0.1  # our choice
    call: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.rate, int | float) and not 0 <= self.rate <= 1:
            raise ValueError(f"Flipped.rate is a probability and must lie in [0, 1], got {self.rate}")

    async def __call__(self, group: Group) -> torch.Tensor:
        said: Any = self.term(group)
        said = await said if inspect.isawaitable(said) else said
        values = torch.as_tensor(said.values if isinstance(said, Judged) else said, dtype=torch.float32)
        if not ((values == 0) | (values == 1) | values.isnan()).all():
            raise ValueError(f"Flipped turns verdicts of 0 and 1 round, and {type(self.term).__name__} gave others")
        flips = torch.tensor([self._errs(group.problem.id, trajectory) for trajectory in group.trajectories])
        return torch.where(flips, 1 - values, values)

    def _errs(self, problem: str, attempt: Trajectory) -> bool:
        return bool(generator(self.call, "flipped", problem, response(attempt)).random() < float(self.rate))


EXAMPLES: list[Any] = [Flipped(), Flipped(rate=1.0, call=2)]
