"""The reward itself as the advantage."""

from __future__ import annotations

from dataclasses import dataclass

from whet.advantages._outcomes import on_trained, outcomes
from whet.types import Credit, Scored


@dataclass(frozen=True)
class Plain:
    """A_i = R_i on every trained token of attempt i: REINFORCE without a baseline (Williams 1992)."""

    def __call__(self, scored_P: list[Scored]) -> Credit:
        return Credit([on_trained(scored, outcomes(scored)) for scored in scored_P])
