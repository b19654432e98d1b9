"""Several problems at once."""

from __future__ import annotations

import re
from dataclasses import dataclass

from whet.randomness import generator
from whet.tasks.splits import pick, span, worked
from whet.tasks.string_functions import StringFunctions
from whet.types import Problem, Task

_THOUGHT = re.compile(r"<think>(.*)</think>", re.DOTALL)


@dataclass(frozen=True)
class SideBySide:
    """n in `count` problems p of `task` in one, "p_1,p_2,...,p_n", of the same split and independent of one another,
    with `separator` for the comma. The worked solution thinks of each in turn, "t_1,t_2,...,t_n", and answers the last.

    `task` must ask in one message and give solutions as `splits.worked` writes them, or there is a ValueError.
    """

    task: Task
    count: int | tuple[int, int] = (1, 3)
    separator: str = ","
    seed: int = 0

    def __post_init__(self) -> None:
        span("SideBySide.count", self.count, 1)

    def size(self, split: str) -> int | None:
        return None

    def problem(self, split: str, i: int) -> Problem:
        rng = generator(self.seed, "side by side", split, i)
        size = self.task.size(split) or 2**53
        places = [int(rng.integers(size)) for _ in range(pick(rng, *span("", self.count, 1)))]
        problems = [self.task.problem(split, place) for place in places]
        thoughts = self.separator.join(_thought(problem) for problem in problems)
        answer = problems[-1].answer
        return Problem(
            id=f"side_by_side/{split}/{i}",
            prompt=[{"role": "user", "content": self.separator.join(_asked(problem) for problem in problems)}],
            answer=answer,
            info={"solution": worked(thoughts, str(answer)), "problems": [problem.id for problem in problems]},
        )


def _asked(problem: Problem) -> str:
    prompt = problem.prompt
    if isinstance(prompt, str) or len(prompt) != 1 or not isinstance(prompt[0], dict):
        raise ValueError(f"SideBySide joins prompts of one message, and problem {problem.id!r} has {prompt!r}")
    return str(prompt[0]["content"])


def _thought(problem: Problem) -> str:
    found = _THOUGHT.match(str(problem.info.get("solution", "")))
    if not found:
        raise ValueError(f"SideBySide joins the thoughts of worked solutions, and problem {problem.id!r} has none")
    return found[1]


EXAMPLES = [SideBySide(StringFunctions(depth=1))]
