"""How much a query looks like the gold one, without running either."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from whet.rewards.text import Extract, extracted, response
from whet.schedule import Count, Number
from whet.types import Group
from whet.verifiers.sql_tokens import keyword_overlap, ngram_overlap


@dataclass(frozen=True)
class SqlOverlap:
    """value_g = (1 - keywords) * J_n(q_g, q) + keywords * J_k(q_g, q)   in [0, 1]

    with q_g the query of attempt g, q the gold query, J_n the Jaccard index |A & B| / |A | B| of their sets of runs of
    `size` tokens, and J_k that of their sets of SQL's keywords. Upper and lower case, blank space and comments do not
    count; text in quotes does as it stands. 0 for an attempt without an answer. `extract` is that of
    `rewards.verified.Verified`. The gold query is "sql" of the problem's answer, JSON text or values as the verifier
    `sql` takes it, else the answer itself as text.

    A shaped reward to set against the execution's thin one: it pays for words, so a query may earn most of it and be
    wrong. Source: n-gram similarity is one of the partial rewards of Reasoning-SQL (Pourreza et al. 2025, arXiv
    2503.23157); the keywords, the sizes and the weights are our choice.

    Raises ValueError for a size below 1, a share outside [0, 1], and a problem without an answer.
    """

    size: Count = 2  # our choice
    keywords: Number = 0.5  # our choice
    extract: Extract = "answer"

    def __post_init__(self) -> None:
        if isinstance(self.size, int | float) and self.size < 1:
            raise ValueError(f"SqlOverlap.size must be at least 1 token, got {self.size}")
        if isinstance(self.keywords, int | float) and not 0 <= self.keywords <= 1:
            raise ValueError(f"SqlOverlap.keywords is a share and must lie in [0, 1], got {self.keywords}")

    def __call__(self, group: Group) -> Tensor:
        if group.problem.answer is None:
            raise ValueError(f"problem {group.problem.id!r} has no answer to compare with; give it one")
        gold = _query(group.problem.answer)
        said = [extracted(response(trajectory), self.extract) for trajectory in group.trajectories]
        return torch.tensor([self._value(query, gold) if query else 0.0 for query in said])

    def _value(self, query: str, gold: str) -> float:
        share = float(self.keywords)
        return (1 - share) * ngram_overlap(query, gold, int(self.size)) + share * keyword_overlap(query, gold)


def _query(answer: Any) -> str:
    if isinstance(answer, str) and answer.lstrip().startswith("{"):
        try:
            answer = json.loads(answer)
        except (ValueError, RecursionError):
            return answer
    return str(answer["sql"]) if isinstance(answer, dict) and "sql" in answer else str(answer)
