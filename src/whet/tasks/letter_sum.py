"""The sum of many digits modulo 10, the digits written as letters: "^kTb$" in three steps of thinking."""

from __future__ import annotations

import string
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from whet.schedule import Count
from whet.tasks.splits import drawn, pick, span, worked
from whet.types import Problem

LETTERS = string.ascii_letters
STEP = "0123456789+=;^$"  # what a prompt and the steps are written with beside letters


@dataclass(frozen=True)
class LetterSum:
    """(v(x_1) + ... + v(x_n)) mod `modulus` for n different letters, n in `letters`, where v(x) is the place of x in
    `alphabet`, from 0, modulo `modulus`.

    The prompt is the letters between "^" and "$". A solution takes one after another: a step is the letter before, the
    letter, its value, the sum so far and the new one, s_k = (s_{k-1} + v(x_k)) mod `modulus`, s_0 = 0:
    "^k0+0=0;kT5+0=5;Tb1+5=6;b$" for "^kTb$". With one token per character and one digit per number that is eight
    tokens. As no letter comes twice, a letter says where in the prompt one is, and any eight tokens hold all that is
    needed to go on: a chain of thought of any length whose state is small. Splits share no question.

    Raises ValueError unless `alphabet` has different characters and no less than n >= 1 of them, without the digits and
    "^$+=;" of the steps, and `modulus` is 2 or more.
    """

    letters: int | tuple[int, int] = 24
    modulus: Count = 10
    alphabet: str = LETTERS
    seed: int = 0

    def __post_init__(self) -> None:
        known = self.alphabet
        if len(set(known)) < len(known) or set(known) & set(STEP):
            raise ValueError(f"LetterSum.alphabet must be different characters, none of {STEP!r}, got {known!r}")
        if span("LetterSum.letters", self.letters, 1)[1] > len(known):
            raise ValueError(f"LetterSum.letters must be at most {len(known)} different ones, got {self.letters}")
        if isinstance(self.modulus, int | float) and self.modulus < 2:
            raise ValueError(f"LetterSum.modulus must be at least 2, got {self.modulus}")

    def size(self, split: str) -> int | None:
        return None

    def problem(self, split: str, i: int) -> Problem:
        text = drawn("letter_sum", self.seed, split, i, self._draw, lambda text: text)
        steps, total = self._solve(text)
        prompt = [{"role": "user", "content": f"^{text}$"}]
        solution = worked("".join(steps), str(total))
        return Problem(f"letter_sum/{split}/{i}", prompt, str(total), {"solution": solution})

    def _draw(self, rng: np.random.Generator) -> str:
        count = pick(rng, *span("letters", self.letters, 1))
        return "".join(self.alphabet[place] for place in rng.permutation(len(self.alphabet))[:count])

    def _solve(self, text: str) -> tuple[list[str], int]:
        steps, total, modulus = [], 0, int(self.modulus)
        for before, letter in pairwise("^" + text):
            value = self.alphabet.index(letter) % modulus
            steps.append(f"{before}{letter}{value}+{total}={(total + value) % modulus};")
            total = (total + value) % modulus
        return [*steps, f"{text[-1]}$"], total
