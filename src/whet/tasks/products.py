"""Long multiplication by one digit, place by place: "34*7=?"."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from whet.tasks.splits import drawn, pick, span, worked
from whet.types import Problem


@dataclass(frozen=True)
class Products:
    """a * b with a in `first` and b in `second`, both ends included.

    A solution has the partial products of a's digits, from the ones on, and then their sum: 34*7 is worked as "28+210"
    and answered by 238. A digit 0 gives a partial product of 0; a one-digit a has one part. Splits share no question
    (`splits.split_of`), whatever the ranges and seeds. Raises ValueError for a range that does not start at 1 or above.
    """

    first: int | tuple[int, int] = (10, 99)
    second: int | tuple[int, int] = (2, 9)
    seed: int = 0

    def __post_init__(self) -> None:
        span("Products.first", self.first, 1)
        span("Products.second", self.second, 1)

    def size(self, split: str) -> int | None:
        return None

    def problem(self, split: str, i: int) -> Problem:
        a, b = drawn("products", self.seed, split, i, self._draw, lambda made: question(*made))
        return Problem(
            id=f"products/{split}/{i}",
            prompt=[{"role": "user", "content": question(a, b)}],
            answer=str(a * b),
            info={"solution": worked("+".join(parts(a, b)), str(a * b))},
        )

    def _draw(self, rng: np.random.Generator) -> tuple[int, int]:
        return pick(rng, *span("first", self.first, 1)), pick(rng, *span("second", self.second, 1))


def question(a: int, b: int) -> str:
    return f"{a}*{b}=?"


def parts(a: int, b: int) -> list[str]:
    """The product of each digit of a with b, the ones first."""
    return [str(int(digit) * 10**place * b) for place, digit in enumerate(reversed(str(a)))]
