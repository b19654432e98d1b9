"""Right is +1, all else is -1."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass

import torch

from whet.rewards.verified import exact
from whet.types import Group, Judged, Term, TermValue


@dataclass(frozen=True)
class Signed:
    """value_g = 2 v_g - 1 with v_g in [0, 1] what `term` gives: +1 where attempt g is right, -1 where it is wrong or
    has no answer; NaN (no verdict) stays NaN.

    The outcome reward of ReTool (Feng et al. 2025, arXiv 2504.11536). With a critic the sign is no matter of taste, as
    it is with a baseline from the group: a critic's values are 0 at first.
    """

    term: Term = exact

    async def __call__(self, group: Group) -> TermValue:
        value = self.term(group)
        value = await value if isinstance(value, Awaitable) else value
        if isinstance(value, Judged):
            return Judged(2 * value.values - 1, *value[1:])
        return 2 * torch.as_tensor(value) - 1
