"""Chained arithmetic: "3+4-2=?"."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from whet.randomness import generator
from whet.schedule import Count, Number
from whet.tasks.splits import drawn, pick, span, worked
from whet.types import Problem

SIGNS = "+-*"


@dataclass(frozen=True)
class ChainSum:
    """x_1 o_1 x_2 o_2 ... x_n with n in `terms`, 1 <= x <= `largest` and each o one of `operators` ("+", "-", "*").

    Products come before sums, else left to right. With `modulus` m > 0 the answer is the remainder in 0 .. m - 1, and
    so is each step. A solution does one operation at a time ("3+4=7;7-2=5"); only a share `shown` of them shows these
    steps, the others give the bare answer, so who imitates them thinks aloud as often. Splits share no question
    (`splits.split_of`), for any settings and seeds.
    """

    terms: int | tuple[int, int] = (2, 3)
    largest: Count = 9
    modulus: Count = 0  # 0: none
    operators: str = "+-"
    shown: Number = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        span("ChainSum.terms", self.terms, 2)
        if not isinstance(self.operators, str) or not self.operators or set(self.operators) - set(SIGNS):
            raise ValueError(f"ChainSum.operators must be some of {SIGNS!r}, got {self.operators!r}")
        if isinstance(self.largest, int | float) and self.largest < 1:
            raise ValueError(f"ChainSum.largest must be at least 1, got {self.largest}")
        if isinstance(self.modulus, int | float) and (self.modulus < 0 or self.modulus == 1):
            raise ValueError(f"ChainSum.modulus must be 0 (none) or at least 2, got {self.modulus}")
        if isinstance(self.shown, int | float) and not 0 <= self.shown <= 1:
            raise ValueError(f"ChainSum.shown is a share and must lie in [0, 1], got {self.shown}")

    def size(self, split: str) -> int | None:
        return None

    def problem(self, split: str, i: int) -> Problem:
        numbers, signs = drawn("chain_sum", self.seed, split, i, self._draw, lambda made: self._question(*made))
        results, answer = self._solve(numbers, signs)
        shown = generator(self.seed, "task", "chain_sum shown", split, i).random() < self.shown
        return Problem(
            id=f"chain_sum/{split}/{i}",
            prompt=[{"role": "user", "content": self._question(numbers, signs)}],
            answer=str(answer),
            info={"solution": worked(";".join(results) if shown else "", str(answer))},
        )

    def _draw(self, rng: np.random.Generator) -> tuple[list[int], list[str]]:
        count = pick(rng, *span("terms", self.terms, 2))
        numbers = [pick(rng, 1, int(self.largest)) for _ in range(count)]
        return numbers, [self.operators[pick(rng, 0, len(self.operators) - 1)] for _ in range(count - 1)]

    def _question(self, numbers: list[int], signs: list[str]) -> str:
        sum_ = str(numbers[0]) + "".join(f"{sign}{n}" for sign, n in zip(signs, numbers[1:], strict=True))
        return f"({sum_}) mod {int(self.modulus)}=?" if self.modulus else f"{sum_}=?"

    def _solve(self, numbers: list[int], signs: list[str]) -> tuple[list[str], int]:
        numbers, signs, results = list(numbers), list(signs), []
        while signs:
            k = signs.index("*") if "*" in signs else 0
            a, b, sign = numbers[k], numbers.pop(k + 1), signs.pop(k)
            numbers[k] = self._remainder({"+": a + b, "-": a - b, "*": a * b}[sign])
            results.append(f"{a}{sign}{b}={numbers[k]}")
        return results, self._remainder(numbers[0])

    def _remainder(self, n: int) -> int:
        return n % int(self.modulus) if self.modulus else n
