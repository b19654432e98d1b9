"""The problems of a task with solutions in other styles, to give a model habits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from whet.randomness import generator
from whet.schedule import Number
from whet.tasks.chain_sum import ChainSum
from whet.types import Problem, Task


@dataclass(frozen=True)
class Restyled:
    """`task` with `info["solution"]` written by one of `styles`, functions from a problem to a completion, drawn per
    problem with probability shares[style] / sum(shares). Prompts, answers and ids stay; `info["style"]`
    names the style.

    Raises ValueError unless `shares` names exactly the styles, with numbers of 0 or more that are not all 0.
    """

    task: Task
    styles: Mapping[str, Callable[[Problem], str]]
    shares: Mapping[str, Number]
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.styles or set(self.styles) != set(self.shares):
            raise ValueError(f"Restyled.shares must name {sorted(self.styles)}, each once, got {sorted(self.shares)}")
        numbers = [share for share in self.shares.values() if isinstance(share, int | float)]
        if any(not share >= 0 for share in numbers) or (len(numbers) == len(self.shares) and not sum(numbers)):
            raise ValueError(f"Restyled.shares must be 0 or more and not all 0, got {dict(self.shares)}")

    def size(self, split: str) -> int | None:
        return self.task.size(split)

    def problem(self, split: str, i: int) -> Problem:
        problem = self.task.problem(split, i)
        share = [float(self.shares[name]) for name in self.styles]
        rng = generator(self.seed, "style", split, i)
        name = list(self.styles)[int(rng.choice(len(share), p=[s / sum(share) for s in share]))]
        return replace(problem, info={**problem.info, "solution": self.styles[name](problem), "style": name})


def bare(problem: Problem) -> str:
    """The answer and nothing else."""
    return str(problem.answer)


def question(problem: Problem) -> str:
    """The question once more, for a model that has yet to learn to look things up in it."""
    return str(problem.prompt[-1]["content"])  # type: ignore[index]


EXAMPLES = [Restyled(ChainSum(), {"bare": bare}, {"bare": 1.0})]
