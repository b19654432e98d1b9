"""What curricula over single problems share: the pool, how often each was solved, a weighted draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from whet.randomness import generator
from whet.types import Problem, Scored, Task

_LEAST = 1e-9  # our choice: a weight of 0 is drawn when all others have been


def pool(task: Task, split: str, most: int) -> list[Problem]:
    """The problems of a split, or its first `most` ones. ValueError for an endless one without `most`, or none."""
    size = task.size(split)
    if size is None and not most:
        raise ValueError(f"{type(task).__name__} has no end; say how many of its problems with pool=1000")
    found = most if size is None else min(size, most or size)
    if found < 1:
        raise ValueError(f"the split {split!r} has {found} problems; choose another split or give it data")
    return [task.problem(split, i) for i in range(found)]


def weighted(problems: Sequence[Problem], weights: Sequence[float], count: int, seed: int) -> list[Problem]:
    """`count` problems in proportion to their weights, none twice until all have come."""
    random, drawn = generator(seed), list[int]()
    while len(drawn) < count:
        # The k largest of log(u) / weight are a weighted draw of k without replacement (Efraimidis, Spirakis 2006).
        keys = np.log(random.random(len(problems))) / np.maximum(np.array(weights), _LEAST)
        drawn += np.argsort(-keys, kind="stable")[: count - len(drawn)].tolist()
    return [problems[i] for i in drawn]


def count_right(state: dict[str, Any], scored_P: Sequence[Scored], term: str, keep: float, who: object) -> None:
    """state[id] = [right, tried]: keep times what was there, and the attempts of now that have a verdict. Right is a
    value of 1 or more. ValueError for a term that is not there."""
    for scored in scored_P:
        if term not in scored.terms:
            raise ValueError(f"{type(who).__name__}.term is {term!r} and the reward has {sorted(scored.terms)}")
        values = scored.terms[term]
        values = values[~values.isnan()]
        if len(values):
            right, tried = state.get(scored.group.problem.id, (0.0, 0.0))
            now = float((values >= 1).sum())
            state[scored.group.problem.id] = [keep * right + now, keep * tried + len(values)]


def rate(state: Mapping[str, Any], problem: Problem) -> float | None:
    """The share of right attempts, None for a problem that was not tried."""
    right, tried = state.get(problem.id, (0.0, 0.0))
    return right / tried if tried else None
