"""The first problems of a task, as a data set of its own."""

from __future__ import annotations

from dataclasses import dataclass

from whet.tasks.chain_sum import ChainSum
from whet.types import Problem, Task


@dataclass(frozen=True)
class First:
    """`task` with at most its first `count` problems in the split "train", so that what learns meets them again and
    again: SFT goes by them in shuffled epochs. Other splits are the task's own.

    Raises ValueError for `count` below 1, and for a place beyond it.
    """

    task: Task
    count: int

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"First.count must be at least 1 problem, got {self.count}")

    def size(self, split: str) -> int | None:
        size = self.task.size(split)
        if split != "train":
            return size
        return self.count if size is None else min(size, self.count)

    def problem(self, split: str, i: int) -> Problem:
        if split == "train" and i >= self.count:
            raise ValueError(f"there are the first {self.count} problems of 'train', got place {i}")
        return self.task.problem(split, i)


EXAMPLES = [First(ChainSum(), 8)]
