"""How far one gets without thinking: by always saying what is most often right."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable

from whet.rewards.text import tagged
from whet.types import Problem, Task


def majority(task: Task, verify: Callable[[str, str], str], problems: int = 200) -> tuple[str, float]:
    """(the most common answer of the first `problems` of "train", the first among equals; the share of the first
    `problems` of "test" that it is "right" for, by `verify(answer, gold)`).

    An answer is what stands in the tag of `info["solution"]`. A model that has learned nothing but what answers look
    like may get so far. ValueError where no problem has a solution.
    """
    known = [_answer(task.problem("train", i)) for i in range(_count(task, "train", problems))]
    told = Counter(answer for answer in known if answer is not None)
    if not told:
        raise ValueError('majority: no problem of "train" has an info["solution"] with an <answer>; ask another task')
    guess = told.most_common(1)[0][0]
    asked = [task.problem("test", i) for i in range(_count(task, "test", problems))]
    right = sum(verify(guess, _gold(problem)) == "right" for problem in asked)
    return guess, right / len(asked)


def _count(task: Task, split: str, problems: int) -> int:
    size = task.size(split)
    return problems if size is None else min(size, problems)


def _answer(problem: Problem) -> str | None:
    return tagged(str(problem.info.get("solution", "")))


def _gold(problem: Problem) -> str:
    return problem.answer if isinstance(problem.answer, str) else json.dumps(problem.answer)
