"""Guess a number by "higher" and "lower": the smallest task with an environment."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from whet.schedule import Count
from whet.tasks.splits import drawn, pick
from whet.types import Episode, Message, Problem, Step


@dataclass(frozen=True)
class Guess:
    """Find a hidden number of low .. high within `tries` guesses; the range, `width` numbers wide, is the question.

    Each action's last integer is the guess. The episode answers "higher", "lower", or ends with reward 1 at the right
    one; after `tries` guesses it is cut off ("truncated") with reward 0. An action without an integer uses up a try.
    The hidden number is `answer`; `info["solution"]` is a whole good game (bisection) as chat messages.
    """

    width: Count = 15
    largest: Count = 99
    tries: Count = 6
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("width", "largest", "tries"):
            value = getattr(self, name)
            if isinstance(value, int | float) and value < 1:
                raise ValueError(f"Guess.{name} must be at least 1, got {value}")
        if isinstance(self.width, int) and isinstance(self.largest, int) and self.width > self.largest:
            raise ValueError(f"Guess.width must be at most largest ({self.largest}), got {self.width}")

    def size(self, split: str) -> int | None:
        return None

    def problem(self, split: str, i: int) -> Problem:
        low, hidden = drawn("guess", self.seed, split, i, self._draw, lambda made: self._question(made[0]))
        return Problem(
            id=f"guess/{split}/{i}",
            prompt=[{"role": "user", "content": self._question(low)}],
            answer=str(hidden),
            info={"solution": self._bisect(low, hidden), "tries": int(self.tries)},
        )

    def episode(self, problem: Problem) -> Episode:
        return Guessing(int(problem.answer), problem.info["tries"])

    def _draw(self, rng: np.random.Generator) -> tuple[int, int]:
        low = pick(rng, 1, int(self.largest) - int(self.width) + 1)
        return low, pick(rng, low, low + int(self.width) - 1)

    def _question(self, low: int) -> str:
        return f"Guess my number from {low} to {low + int(self.width) - 1}."

    def _bisect(self, low: int, hidden: int) -> list[Message]:
        high, said = low + int(self.width) - 1, []
        while True:
            middle = (low + high) // 2
            said.append({"role": "assistant", "content": f"<answer>{middle}</answer>"})
            if middle == hidden:
                return said
            said.append({"role": "env", "content": "higher" if middle < hidden else "lower"})
            low, high = (middle + 1, high) if middle < hidden else (low, middle - 1)


class Guessing:
    """One game. Single use: a step after the end raises RuntimeError."""

    def __init__(self, hidden: int, left: int) -> None:
        self.hidden = hidden
        self.left = left

    async def step(self, action: str) -> Step:
        if self.left < 1:
            raise RuntimeError("this game is over: open another episode")
        found = re.findall(r"(?<![0-9])[0-9]{1,9}(?![0-9])", action)
        guess = int(found[-1]) if found else None
        if guess == self.hidden:
            self.left = 0
            return Step("right", reward=1.0, end="done")
        self.left -= 1
        said = "say a number" if guess is None else ("higher" if guess < self.hidden else "lower")
        return Step(said, end="" if self.left else "truncated")

    def fork(self) -> Guessing:
        return Guessing(self.hidden, self.left)
