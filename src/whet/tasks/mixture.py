"""Several tasks as one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from whet.randomness import generator
from whet.schedule import Number
from whet.types import Episode, Problem, Task


@dataclass(frozen=True)
class Mixture:
    """The problems of several `sources`, by name. Ids become "source:id", and `info["source"]` names the source.

    Without `weights`, a split that every source has an end of holds all their problems, taken in turns: the first of
    each source, the second of each that has two, ... Its size is the sum.
    Otherwise the split is endless, and problem i comes from source s with probability weights[s] / sum(weights) (1 each
    where there are none; 0 switches a source off): problem i of an endless source, a uniformly drawn one of a finite
    source. What problem i is changes with the weights, so a schedule may move them.
    """

    sources: Mapping[str, Task]
    weights: Mapping[str, Number] = field(default_factory=dict)
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.sources:
            raise ValueError("Mixture.sources is empty: give at least one task by name")
        if self.weights and set(self.weights) != set(self.sources):
            raise ValueError(f"Mixture.weights must name {sorted(self.sources)}, each once, got {sorted(self.weights)}")
        numbers = [w for w in self.weights.values() if isinstance(w, int | float)]
        bad = [w for w in numbers if not (w >= 0 and math.isfinite(w))]
        if bad or (self.weights and len(numbers) == len(self.weights) and not sum(numbers)):
            raise ValueError(f"Mixture.weights must be 0 or more and not all 0, got {dict(self.weights)}")

    def size(self, split: str) -> int | None:
        sizes = [task.size(split) for task in self.sources.values()]
        finite = [n for n in sizes if n is not None]
        return sum(finite) if not self.weights and len(finite) == len(sizes) else None

    def problem(self, split: str, i: int) -> Problem:
        name, index = self._place(split, i)
        problem = self.sources[name].problem(split, index)
        return replace(problem, id=f"{name}:{problem.id}", info={**problem.info, "source": name})

    def episode(self, problem: Problem) -> Episode:
        """The source's own. ValueError if that source has no episodes."""
        name = problem.info["source"]
        source = self.sources[name]
        if not hasattr(source, "episode"):
            raise ValueError(f"Mixture: source {name!r} ({type(source).__name__}) has no episodes to play in")
        return source.episode(problem)  # pyright: ignore[reportAttributeAccessIssue]

    def _place(self, split: str, i: int) -> tuple[str, int]:
        """The source of problem i, and its index there."""
        size = self.size(split)
        if i < 0 or (size is not None and i >= size):
            raise ValueError(f"Mixture: {split!r} has {'endless' if size is None else size} problems, got index {i}")
        if size is not None:
            return _in_turns({name: task.size(split) or 0 for name, task in self.sources.items()}, i)
        rng = generator(self.seed, "mixture", split, i)
        share = [float(self.weights.get(name, 1.0)) for name in self.sources]
        name = list(self.sources)[int(rng.choice(len(share), p=[w / sum(share) for w in share]))]
        here = self.sources[name].size(split)
        if here == 0:
            raise ValueError(f"Mixture: source {name!r} has no problems in {split!r}; give it weight 0")
        return name, i if here is None else int(rng.integers(here))


def _in_turns(sizes: Mapping[str, int], i: int) -> tuple[str, int]:
    """Place i of (a, 0), (b, 0), ..., (a, 1), (b, 1), ..., where who has no more is left out."""
    done = 0  # whole rounds before this one
    for size in sorted(set(sizes.values())):
        left = [name for name, count in sizes.items() if count > done]
        if i < (size - done) * len(left):
            return left[i % len(left)], done + i // len(left)
        i -= (size - done) * len(left)
        done = size
    raise AssertionError("i is below the sum of the sizes")


EXAMPLES: list[Mixture] = []  # its sources are other tasks
