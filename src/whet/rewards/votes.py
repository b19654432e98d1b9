"""Several verdicts about one attempt, made into one."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from whet.rewards.flipped import Flipped
from whet.types import AskingTerm, Judged, Term

Rule = Literal["any", "all", "majority"]


def combined(verdicts: Tensor, rule: Rule) -> Tensor:
    """[J, G] verdicts of J judges, each 0, 1 or NaN (none) -> [G]: 1 if any, all, or more than half of those that spoke
    say 1, else 0; NaN where nobody did. A tie is no majority (our choice). ValueError for another rule."""
    if rule not in get_args(Rule):
        raise ValueError(f"verdicts are combined by one of {get_args(Rule)}, got {rule!r}")
    spoke = ~verdicts.isnan()
    yes, count = (verdicts.nan_to_num() > 0).sum(0), spoke.sum(0)
    found = {"any": yes > 0, "all": yes == count, "majority": 2 * yes > count}[rule].float()
    return torch.where(count > 0, found, torch.nan)


@dataclass(frozen=True)
class Votes:
    """value_g = `combined` over `terms` of [term(attempt g) >= `least`], by `rule`.

    How judges that err are asked together: with "any", one that errs is enough for false praise, with "all" for false
    blame, and with "majority" more than half have to err at once. Source: the any-, all- and majority-correct
    CoT-pass@k of Wen et al. 2025, arXiv 2506.14245. The terms may be judges of different prompts or models; where one
    asks models, call it with (models, group). Raises ValueError without terms and for another rule.
    """

    terms: Sequence[Term | AskingTerm] = (Flipped(call=0), Flipped(call=1), Flipped(call=2))
    rule: Rule = "majority"
    least: float = 1.0

    def __post_init__(self) -> None:
        if not self.terms:
            raise ValueError("Votes.terms is empty; give the judges whose verdicts are combined")
        combined(torch.zeros(1, 1), self.rule)

    @property
    def asks_models(self) -> bool:
        return any(getattr(term, "asks_models", False) for term in self.terms)

    async def __call__(self, *asked: Any) -> Tensor:
        values = [await self._said(term, asked) for term in self.terms]
        return combined(torch.stack(values), self.rule)

    async def _said(self, term: Any, asked: Sequence[Any]) -> Tensor:
        said = term(*asked) if getattr(term, "asks_models", False) else term(asked[-1])
        said = await said if inspect.isawaitable(said) else said
        values = torch.as_tensor(said.values if isinstance(said, Judged) else said, dtype=torch.float32)
        return torch.where(values.isnan(), values, (values >= self.least).float())


EXAMPLES: list[Any] = [Votes(), Votes(rule="any"), Votes(rule="all")]
