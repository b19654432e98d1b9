"""Countdown: make a target from given numbers."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np

from whet.schedule import Count
from whet.tasks.splits import drawn, pick, span, worked
from whet.types import Problem

SIGNS = "+-*/"
TRIES = 500  # our choice: expressions drawn before the target range counts as out of reach

Made = tuple[list[int], int, list[str], str]  # numbers as shown, target, steps, expression


@dataclass(frozen=True)
class Countdown:
    """Use each of `count` numbers of 1 .. `largest` exactly once, with `operators`, to make a `target` in a range.

    Made from a random expression, so it can always be solved; that expression, worked out from the inside, is the
    solution. On its way every number is a positive integer (divisions come out even). The answer is the JSON text
    {"numbers": [...], "target": n}, which the verifier `countdown` checks any expression against. `info["wrong"]`: what
    is not right. The same numbers in another order are the same question.

    ValueError from `problem` when no expression is found whose value lies in `target`.
    """

    count: int | tuple[int, int] = (3, 4)
    largest: Count = 20
    target: tuple[int, int] = (10, 99)
    operators: str = SIGNS
    seed: int = 0

    def __post_init__(self) -> None:
        span("Countdown.count", self.count, 2)
        span("Countdown.target", self.target, 1)
        if not isinstance(self.operators, str) or not self.operators or set(self.operators) - set(SIGNS):
            raise ValueError(f"Countdown.operators must be some of {SIGNS!r}, got {self.operators!r}")
        if isinstance(self.largest, int | float) and self.largest < 1:
            raise ValueError(f"Countdown.largest must be at least 1, got {self.largest}")

    def size(self, split: str) -> int | None:
        return None

    def problem(self, split: str, i: int) -> Problem:
        numbers, target, steps, expression = drawn("countdown", self.seed, split, i, self._draw, _question)
        given = ", ".join(str(n) for n in numbers)
        return Problem(
            id=f"countdown/{split}/{i}",
            prompt=[
                {"role": "user", "content": f"Make {target} from {given}. Use each number once, with + - * / ( )."}
            ],
            answer=json.dumps({"numbers": numbers, "target": target}),
            info={"solution": worked(";".join(steps), expression), "wrong": _mistakes(numbers, target, expression)},
        )

    def _draw(self, rng: np.random.Generator) -> Made:
        low, high = span("target", self.target, 1)
        for _ in range(TRIES):
            numbers = [pick(rng, 1, int(self.largest)) for _ in range(pick(rng, *span("count", self.count, 2)))]
            made = self._combine(rng, numbers)
            if made and low <= made[0] <= high:
                return numbers, made[0], made[1], made[2]
        raise ValueError(
            f"Countdown found no expression with a value in {self.target} after {TRIES} draws of {self.count} numbers "
            f"up to {self.largest}: widen target, or give larger numbers"
        )

    def _combine(self, rng: np.random.Generator, numbers: list[int]) -> tuple[int, list[str], str] | None:
        """Join two random parts until one is left: its value, the steps, the expression; None at a dead end."""
        parts, steps = [(n, str(n), "") for n in numbers], []
        while len(parts) > 1:
            right, left = (parts.pop(pick(rng, 0, len(parts) - 1)) for _ in range(2))
            sign = self.operators[pick(rng, 0, len(self.operators) - 1)]
            if sign in "-/" and left[0] < right[0]:
                left, right = right, left
            value = _apply(left[0], sign, right[0])
            if value is None:
                return None
            steps.append(f"{left[0]}{sign}{right[0]}={value}")
            parts.append((value, f"{_inside(left, sign, False)}{sign}{_inside(right, sign, True)}", sign))
        return parts[0][0], steps, parts[0][1]


def _mistakes(numbers: list[int], target: int, expression: str) -> list[str]:
    """The target alone, a number that was not given, a false equation, and all numbers added up where that is wrong."""
    told = [str(target), f"{expression}+0", f"{expression}={target + 1}"]
    told += ["+".join(map(str, numbers))] if sum(numbers) != target else []
    return [worked("", text) for text in told]


def _question(made: Made) -> str:
    return f"countdown {sorted(made[0])} {made[1]}"


def _apply(a: int, sign: str, b: int) -> int | None:
    """The positive integer a sign b, or None."""
    if sign == "/":
        return None if a % b else a // b
    value = {"+": a + b, "-": a - b, "*": a * b}[sign]
    return value if value > 0 else None


def _inside(part: tuple[int, str, str], sign: str, right: bool) -> str:
    """A part as an operand of `sign`, in brackets where they are needed."""
    weaker = part[2] != "" and part[2] in "+-" and sign in "*/"
    regroups = right and part[2] != "" and sign in "-/" and (part[2] in "+-") == (sign in "+-")
    return f"({part[1]})" if weaker or regroups else part[1]
