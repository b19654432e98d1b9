"""Where an attempt consists of several contexts, only the last one is judged."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass, replace
from typing import Any

from whet.rewards.parseable import Parseable
from whet.rewards.verified import exact
from whet.types import Group, Term, TermValue, Trajectory, Turn


@dataclass(frozen=True)
class Ending:
    """value_g = term(attempt g as if it had said `info["ending"]` and nothing else), for terms that read the response.

    `rollouts.chunked.Chunked` puts there what stands in an attempt's last context behind prompt and head: the tokens
    that were carried over and those that were generated, read together. So an answer that was begun before the context
    was opened anew counts, one that was given and then left behind does not, and what the prompt says is no answer. An
    attempt that never came to one is unparseable, which is worth 0.

    Source: Delethink ("The Markovian Thinker": Aghajohari et al. 2025, arXiv 2510.06557). An attempt without
    `info["ending"]` is judged as it is. A term with a value per token sees the same rows as without `Ending`.
    """

    term: Term = exact

    def __call__(self, group: Group) -> TermValue | Awaitable[TermValue]:
        return self.term(replace(group, trajectories=tuple(_ending(t) for t in group.trajectories)))


def _ending(trajectory: Trajectory) -> Trajectory:
    text = trajectory.info.get("ending")
    if text is None:
        return trajectory
    last = len(trajectory.rows) - 1
    return replace(trajectory, turns=(Turn("policy", text, last, 0, len(trajectory.rows[last])),))


EXAMPLES: list[Any] = [Ending(), Ending(Parseable())]
