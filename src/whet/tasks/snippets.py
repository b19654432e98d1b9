"""Arithmetic with an interpreter at hand: products and remainders that need it, and small sums that do not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from whet.randomness import generator
from whet.tasks.splits import drawn, pick, span, worked
from whet.types import Message, Problem

Kind = Literal["hard", "easy"]

# Every word of traces with code: a tokenizer with them (`TinyQwen(tokenizer="word", words=WORDS)`) has a token for each
WORDS = ("code", "interpreter", "print", "NameError", "name", "is", "not", "defined", "a", "b")


@dataclass(frozen=True)
class Snippets:
    """a * b or a % b with a, b in `numbers` ("hard"), or a + b of two digits ("easy"): "345%67=?".

    `info["solution"]` is a trace to begin with: a calculation by hand (`by_hand`) and the answer, or with probability
    `code` messages in which code stands in its place,

        assistant <code>print(345%67)</code>   None <interpreter>10</interpreter>   assistant <answer>10</answer>

    in which the message without a role is what `tools.interpreter.Interpreter` says to that snippet. Of those with code
    a share `bugs` first has a name in place of a number, hears of the NameError, and calls again without it. Whether
    there is code does not depend on the problem, so these traces do not say when to call.

    Splits share no question (`splits.split_of`). Source: the cold start of ReTool (Feng et al. 2025, arXiv 2504.11536),
    which replaces computation in traces by code and what it gives; half with code, and a fifth of these with a bug, are
    numbers of the check of Whet's page of it, the arithmetic is our choice.

    Raises ValueError for shares outside [0, 1], an unknown kind, and a range that does not start at 1 or above.
    """

    kind: Kind = "hard"
    numbers: int | tuple[int, int] = (10, 999)
    code: float = 0.5
    bugs: float = 0.2
    seed: int = 0

    def __post_init__(self) -> None:
        span("Snippets.numbers", self.numbers, 1)
        if self.kind not in ("hard", "easy"):
            raise ValueError(f"Snippets.kind must be 'hard' or 'easy', got {self.kind!r}")
        for name in ("code", "bugs"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"Snippets.{name} must lie in [0, 1], got {getattr(self, name)}")

    def size(self, split: str) -> int | None:
        return None

    def problem(self, split: str, i: int) -> Problem:
        sign, a, b = drawn("snippets", self.seed, split, i, self._draw, lambda made: question(*made))
        rng = generator(self.seed, "task", "snippets trace", split, i)
        coded, bug = rng.random() < self.code, rng.random() < self.bugs
        wrong = pick(rng, 0, 1) if bug else None
        said = str(result(sign, a, b))
        return Problem(
            id=f"snippets/{self.kind}/{split}/{i}",
            prompt=[{"role": "user", "content": question(sign, a, b)}],
            answer=said,
            info={"solution": trace(sign, a, b, wrong) if coded else worked(by_hand(sign, a, b), said)},
        )

    def _draw(self, rng: np.random.Generator) -> tuple[str, int, int]:
        low, high = (0, 9) if self.kind == "easy" else span("numbers", self.numbers, 1)
        sign = "+" if self.kind == "easy" else "*%"[pick(rng, 0, 1)]
        return sign, pick(rng, low, high), pick(rng, low, high)


def question(sign: str, a: int, b: int) -> str:
    return f"{a}{sign}{b}=?"


def result(sign: str, a: int, b: int) -> int:
    return {"*": a * b, "%": a % b if b else 0, "+": a + b}[sign]


def by_hand(sign: str, a: int, b: int) -> str:
    """12*34 as its partial products "12*34=360+48", zeros left out; 345%67 as "345%67=345-5*67"; nothing for a sum."""
    if sign == "*":
        parts = [int(digit) * 10**place * a for place, digit in enumerate(reversed(str(b)))]
        return question(sign, a, b)[:-1] + "+".join(str(part) for part in reversed(parts) if part)
    return f"{question(sign, a, b)[:-1]}{a}-{a // b}*{b}" if sign == "%" else ""


def trace(sign: str, a: int, b: int, wrong: int | None = None) -> list[Message]:
    """Messages with one call, or with two of which the first has a name as its operand number `wrong`, 0 or 1."""
    messages: list[Message] = []
    if wrong is not None:
        sides: list[Any] = [a, b]
        sides[wrong] = "ab"[wrong]
        error = f"NameError: name '{sides[wrong]}' is not defined"
        messages += _call(f"{sides[0]}{sign}{sides[1]}", error)
    said = str(result(sign, a, b))
    return [*messages, *_call(f"{a}{sign}{b}", said), {"role": "assistant", "content": f"<answer>{said}</answer>"}]


def _call(code: str, said: str) -> list[Message]:
    return [
        {"role": "assistant", "content": f"<code>print({code})</code>"},
        {"role": None, "content": f"<interpreter>{said}</interpreter>"},
    ]
