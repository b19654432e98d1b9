"""A product and then a sum, modulo a number: "7*8+5=?" in two steps, with the first as a hint."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from whet.randomness import generator
from whet.schedule import Count, Number
from whet.tasks.splits import drawn, pick, span, worked
from whet.types import Problem


@dataclass(frozen=True)
class ProductThenSum:
    """(a * b + c) mod m or (a * b - c) mod m, with a and b in `factors`, 1 <= c <= `largest`, and m = `modulus`.

    A solution writes the value in between, (a * b) mod m, and then answers: 7*8+5 modulo 50 is worked as "6" and
    answered by 11. The value in between is `info["hint"]`, too; it never equals the answer, as c is below m. A share
    `hinted` of the problems have the hint in the prompt, in a line of its own, so that a model can be shown what hints
    are for. Splits share no question (`splits.split_of`), with or without the hint.

    Raises ValueError unless 1 <= `largest` < `modulus`, for factors below 1, and for a share outside [0, 1].
    """

    factors: int | tuple[int, int] = (2, 12)
    largest: Count = 9
    modulus: Count = 50
    hinted: Number = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        span("ProductThenSum.factors", self.factors, 1)
        numbers = isinstance(self.largest, int | float) and isinstance(self.modulus, int | float)
        if numbers and not 1 <= self.largest < self.modulus:  # type: ignore[operator]
            raise ValueError(
                f"ProductThenSum.largest must lie in 1 .. modulus - 1, got {self.largest} modulo {self.modulus}"
            )
        if isinstance(self.hinted, int | float) and not 0 <= self.hinted <= 1:
            raise ValueError(f"ProductThenSum.hinted is a share and must lie in [0, 1], got {self.hinted}")

    def size(self, split: str) -> int | None:
        return None

    def problem(self, split: str, i: int) -> Problem:
        a, b, c = drawn("product_then_sum", self.seed, split, i, self._draw, lambda made: question(*made))
        between, answer = a * b % int(self.modulus), (a * b + c) % int(self.modulus)
        told = generator(self.seed, "task", "product_then_sum hinted", split, i).random() < self.hinted
        hint = f"\n{between}" if told else ""
        return Problem(
            id=f"product_then_sum/{split}/{i}",
            prompt=[{"role": "user", "content": question(a, b, c) + hint}],
            answer=str(answer),
            info={"solution": worked(str(between), str(answer)), "hint": str(between)},
        )

    def _draw(self, rng: np.random.Generator) -> tuple[int, int, int]:
        low, high = span("factors", self.factors, 1)
        c = pick(rng, 1, int(self.largest)) * (1, -1)[pick(rng, 0, 1)]
        return pick(rng, low, high), pick(rng, low, high), c


def question(a: int, b: int, c: int) -> str:
    return f"{a}*{b}{c:+d}=?"
