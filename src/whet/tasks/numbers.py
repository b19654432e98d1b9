"""Go on with a list of numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from whet.randomness import generator
from whet.schedule import Count, Number
from whet.tasks.splits import drawn, pick
from whet.types import Problem


@dataclass(frozen=True)
class Numbers:
    """A prompt of two numbers of 1 .. largest / 2, the second above the first; the solution goes on with `count` more,
    between blanks. Each is above the one before by 1 .. `step` with probability `rising`, as long as there is room
    below `largest`, and any number of 1 .. largest otherwise.

    There is no right answer: a term such as `Rising` says what is good. Splits share no question.
    """

    count: Count = 10
    largest: Count = 999
    step: Count = 40
    rising: Number = 0.7
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("count", 1), ("largest", 4), ("step", 1)):
            value = getattr(self, name)
            if isinstance(value, int | float) and value < least:
                raise ValueError(f"Numbers.{name} must be at least {least}, got {value}")
        if isinstance(self.rising, int | float) and not 0 <= self.rising <= 1:
            raise ValueError(f"Numbers.rising is a probability and must lie in [0, 1], got {self.rising}")

    def size(self, split: str) -> int | None:
        return None

    def problem(self, split: str, i: int) -> Problem:
        pair = drawn("numbers", self.seed, split, i, self._draw, str)
        rng = generator(self.seed, "task", "numbers solution", split, i)
        return Problem(
            id=f"numbers/{split}/{i}",
            prompt=[{"role": "user", "content": " ".join(map(str, pair))}],
            info={"solution": " ".join(map(str, self._go_on(rng, pair[-1])))},
        )

    def _draw(self, rng: np.random.Generator) -> tuple[int, int]:
        half = int(self.largest) // 2
        first = pick(rng, 1, half - 1)
        return first, pick(rng, first + 1, min(half, first + int(self.step)))

    def _go_on(self, rng: np.random.Generator, last: int) -> list[int]:
        largest, numbers = int(self.largest), [last]
        for _ in range(int(self.count)):
            above = numbers[-1] + pick(rng, 1, int(self.step))
            rises = rng.random() < self.rising and above <= largest
            numbers.append(above if rises else pick(rng, 1, largest))
        return numbers[1:]
