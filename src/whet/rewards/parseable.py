"""Whether there is an answer that can be read, right or wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from whet.rewards.text import Extract
from whet.rewards.verified import Verified
from whet.types import Group, Judged


@dataclass(frozen=True)
class Parseable:
    """value_g = 1 if the verifier can read attempt g's answer, so that it calls it "right" or "wrong"; 0 if that is
    "unparseable", "timed out" or "crashed"; NaN if "failed", which is our fault. An answer that was read has the
    outcome "parsed".

    The problem's own answer is never looked at, and there need be none: the verifier compares with `gold`, any
    reference that it can read. `verifier`, `extract` and `options` are those of `rewards.verified.Verified`.

    Source: the format reward of "Surrogate Signals from Format and Length" (Xin et al. 2025, arXiv 2505.19439), which
    asks for a boxed answer that sympy can parse. Raises ValueError for an unknown verifier, option or extraction.
    """

    verifier: str = "math"
    extract: Extract = "boxed"
    gold: str = "0"  # our choice: math, numeric, gsm8k and exact can read it
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        Verified(self.verifier, self.extract, self.options)

    async def __call__(self, group: Group) -> Judged:
        blind = replace(group, problem=replace(group.problem, answer=self.gold))
        judged = await Verified(self.verifier, self.extract, self.options)(blind)
        words = tuple("parsed" if word in ("right", "wrong") else word for word in judged.outcomes)
        found = torch.tensor([float(word == "parsed") for word in words])
        return Judged(torch.where(judged.values.isnan(), judged.values, found), words)
