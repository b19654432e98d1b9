"""The sum of digits that are written as letters, modulo 10: "kTbq" in 24 or 48 steps of thinking."""

from __future__ import annotations

import string
from dataclasses import dataclass

import numpy as np

from whet.schedule import Count
from whet.tasks.splits import drawn, pick, span, worked
from whet.types import Problem

LETTERS = string.ascii_letters


@dataclass(frozen=True)
class LetterSum:
    """(v(x_1) + ... + v(x_n)) mod `modulus` for n different letters, n in `letters`, where v(x) is the place of x in
    a..zA..Z, from 0, modulo `modulus`.

    The prompt is the letters. A solution takes one letter after another, the sum so far s_k = (s_{k-1} + v(x_k)) mod
    `modulus`, s_0 = 0: "k0+0=0;T5+0=5;..." writes each as letter, its value, the old sum and the new one: with one
    token per character and one digit per number seven tokens. As no letter comes twice, the letter of a step says where
    in the prompt it is, and a single step holds all that is needed to go on: a chain of thought of any length whose
    state is small. Splits share no question.

    Raises ValueError unless 1 <= n <= 52 and `modulus` is 2 or more.
    """

    letters: int | tuple[int, int] = 24
    modulus: Count = 10
    seed: int = 0

    def __post_init__(self) -> None:
        if span("LetterSum.letters", self.letters, 1)[1] > len(LETTERS):
            raise ValueError(f"LetterSum.letters must be at most {len(LETTERS)} different ones, got {self.letters}")
        if isinstance(self.modulus, int | float) and self.modulus < 2:
            raise ValueError(f"LetterSum.modulus must be at least 2, got {self.modulus}")

    def size(self, split: str) -> int | None:
        return None

    def problem(self, split: str, i: int) -> Problem:
        text = drawn("letter_sum", self.seed, split, i, self._draw, lambda text: text)
        steps, total = self._solve(text)
        prompt = [{"role": "user", "content": text}]
        solution = worked("".join(steps), str(total))
        return Problem(f"letter_sum/{split}/{i}", prompt, str(total), {"solution": solution})

    def _draw(self, rng: np.random.Generator) -> str:
        count = pick(rng, *span("letters", self.letters, 1))
        return "".join(LETTERS[place] for place in rng.permutation(len(LETTERS))[:count])

    def _solve(self, text: str) -> tuple[list[str], int]:
        steps, total, modulus = [], 0, int(self.modulus)
        for letter in text:
            value = LETTERS.index(letter) % modulus
            steps.append(f"{letter}{value}+{total}={(total + value) % modulus};")
            total = (total + value) % modulus
        return steps, total
