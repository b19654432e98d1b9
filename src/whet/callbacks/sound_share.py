"""How much of what is right is right for the right reasons, while it learns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from whet.types import Scored


@dataclass(frozen=True)
class SoundShare:
    """Notes in each step's metrics, over all n attempts that were played, c of them right (`term` is 1 or more) and d
    of these with right reasoning (`reasoned` is 1 or more, too):

    sound/share   d / c; left out where nothing is right
    sound/right   d / n
    sound/lucky   the share of attempts with wrong reasoning whose answer is right; left out where there are none

    An attempt without one of both verdicts is left out. Source: P(CC | CA) of Wen et al. 2025, arXiv 2506.14245.
    ValueError when first called with a reward that lacks one of the terms: give it weight 0, so that nobody learns from
    it.
    """

    reasoned: str = "reasoned"
    term: str = "correct"

    async def __call__(self, run: Any, step: int, scored_P: list[Scored]) -> None:
        right, sound = (self._values(name, scored_P) for name in (self.term, self.reasoned))
        known = ~(np.isnan(right) | np.isnan(sound))
        right, sound = right[known] >= 1, sound[known] >= 1
        parts = {"share": sound[right], "right": sound & right, "lucky": right[~sound]}
        run.note({f"sound/{name}": float(of.mean()) for name, of in parts.items() if len(of)})

    def _values(self, name: str, scored_P: list[Scored]) -> np.ndarray:
        for scored in scored_P:
            if name not in scored.terms:
                raise ValueError(f"SoundShare reads a term {name!r} and the reward has {sorted(scored.terms)}; add it")
        return np.array([float(x) for scored in scored_P for x in scored.terms[name]])
