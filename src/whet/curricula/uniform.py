"""Problems at random, each as likely as the others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from whet.randomness import generator
from whet.types import Problem, Task

_ENDLESS = 2**48  # our choice: two draws of an endless task practically never meet


@dataclass(frozen=True)
class Uniform:
    """`count` problems of `split`, uniformly: without replacement within a draw, independently between draws.

    A draw is a function of task, count and seed alone, so refills, a stage that runs ahead of its updates, and resumed
    runs all draw right without anybody keeping a position. The price is that there are no epochs: after n problems of a
    set of N, a share of about exp(-n / N) has not been seen. A position kept in `state` would not be exact: refills
    draw several times within a step, and state changes only after it.

    A draw larger than the split goes through it several times, each time in a new order; endless tasks (size None) are
    drawn from 2^48 indices. Raises ValueError for an empty split.
    """

    split: str = "train"

    def draw(self, task: Task, count: int, seed: int) -> list[Problem]:
        return [task.problem(self.split, int(i)) for i in self._indices(task.size(self.split), count, seed)]

    def _indices(self, size: int | None, count: int, seed: int) -> np.ndarray:
        random = generator(seed)
        if size is None:
            return random.integers(0, _ENDLESS, count)
        if size < 1:
            raise ValueError(f"the split {self.split!r} has {size} problems; choose another split or give it data")
        rounds, rest = divmod(count, size)
        passes = [random.permutation(size) for _ in range(rounds)]
        return np.concatenate([*passes, random.choice(size, rest, replace=False)])
