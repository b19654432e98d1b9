"""What curricula over the sources of a mixture share: the names, a draw by probabilities, groups by source."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from whet.randomness import generator, stream
from whet.types import Curriculum, Problem, Scored, Task


def names(task: Task, who: object) -> list[str]:
    """The sources of a mixture, in its order. ValueError for a task that has none."""
    sources = getattr(task, "sources", None)
    if not sources:
        kind = type(who).__name__
        raise ValueError(f"{kind} chooses among the sources of a Mixture, got {type(task).__name__}; give it one")
    return list(sources)


def draw(task: Any, odds: Mapping[str, float], items: Curriculum, count: int, seed: int) -> list[Problem]:
    """`count` times a source, independently with probability odds[source], and of each as many problems as it came up,
    by `items`, which sees that source alone. The mixture's own weights do not count."""
    known = list(odds)
    order = generator(stream(seed, "sources")).choice(len(known), count, p=[odds[name] for name in known])
    taken: dict[int, Iterator[Problem]] = {}
    for k, name in enumerate(known):
        if many := int((order == k).sum()):
            alone = replace(task, sources={name: task.sources[name]}, weights={})
            taken[k] = iter(items.draw(alone, many, stream(seed, "items", name)))
    return [next(taken[int(k)]) for k in order]


def told(values: Mapping[str, Mapping[str, float]], items: Curriculum, task: Task) -> dict[str, float]:
    """{"P/easy": ...} of {"P": {"easy": ...}}, and what the curriculum below has to say."""
    own = {f"{what}/{name}": float(x) for what, of in values.items() for name, x in of.items()}
    return own | (dict(items.told(task)) if hasattr(items, "told") else {})  # type: ignore[attr-defined]


def softmax(scores: Mapping[str, float], temperature: float) -> dict[str, float]:
    """exp(x / temperature) / sum, the largest taken off first."""
    most = max(scores.values())
    raised = {name: math.exp((x - most) / temperature) for name, x in scores.items()}
    return {name: x / sum(raised.values()) for name, x in raised.items()}


def by_source(scored_P: Sequence[Scored], who: object) -> dict[str, list[Scored]]:
    """The groups of a step by the source of their problem. ValueError where a problem names none."""
    found: dict[str, list[Scored]] = {}
    for scored in scored_P:
        info = scored.group.problem.info
        if "source" not in info:
            raise ValueError(
                f"{type(who).__name__}: problem {scored.group.problem.id!r} names no source; use a Mixture"
            )
        found.setdefault(info["source"], []).append(scored)
    return found


def spoken(scored: Scored, term: str, who: object) -> Tensor:
    """The values of a reward term where there is a verdict, [<= G]. ValueError for a term that is not there."""
    if term not in scored.terms:
        raise ValueError(f"{type(who).__name__}.term is {term!r} and the reward has {sorted(scored.terms)}")
    values = scored.terms[term]
    return values[~values.isnan()].double()
