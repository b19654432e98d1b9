"""How long contexts are, and what attention over them costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from whet.types import Scored, Trajectory


def peak_context(trajectory: Trajectory) -> int:
    """max_r T_r, in tokens, over an attempt's rows: the most that a model had before it at once, prompt included."""
    return max(len(row) for row in trajectory.rows)


def attention_pairs(trajectory: Trajectory) -> int:
    """sum_r T_r (T_r + 1) / 2 over an attempt's rows of T_r tokens: pairs of a token and one that it sees, itself
    included, per layer and head. Prompts and what was carried over are read again in each row and counted in each."""
    return sum(len(row) * (len(row) + 1) // 2 for row in trajectory.rows)


@dataclass(frozen=True)
class ContextCost:
    """Notes in each step's metrics, over all attempts that were played:

    context/peak     the longest `peak_context`, tokens
    context/pairs    the mean of `attention_pairs`
    context/rows     the mean number of rows of an attempt

    A step without attempts notes nothing.
    """

    async def __call__(self, run: Any, step: int, scored_P: list[Scored]) -> None:
        played = [trajectory for scored in scored_P for trajectory in scored.group.trajectories]
        if played:
            run.note(
                {
                    "context/peak": float(max(peak_context(t) for t in played)),
                    "context/pairs": sum(attention_pairs(t) for t in played) / len(played),
                    "context/rows": sum(len(t.rows) for t in played) / len(played),
                }
            )
