"""One line of arithmetic, worked by hand or by code amid the text: "123*456=?", "873%45=?"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from whet.randomness import generator
from whet.schedule import Number
from whet.tasks.products import parts
from whet.tasks.splits import drawn, pick, span, worked
from whet.types import Problem

ERRORS = {"{a}{sign}x": "NameError: name 'x' is not defined", "{a}{sign}": "SyntaxError: invalid syntax"}


@dataclass(frozen=True)
class Calculations:
    """a + b, a * b or a % b (the remainder) with a in `first` and b in `second`, both ends included, and the sign one
    of `signs`, each as likely.

    A solution is worked by code with probability `code`, else by hand. By hand a product has its partial products
    ("738+6150+49200"), a remainder the multiple of b below a, a sum nothing. By code it is a list of messages for
    `stages.sft.completed`: <code>print(123*456)</code>, what `tools.interpreter.Interpreter` says to that (role None:
    amid the turn), and the answer. With probability `bugs` a first snippet has an error, one of `ERRORS`, which comes
    back, and the right one follows.

    The forms of trace are those of ReTool's cold start (Feng et al. 2025, arXiv 2504.11536); the shares are ours. What
    the interpreter says is written down here, not run. Splits share no question. Raises ValueError for a range that
    does not start at 1 or above, for unknown signs, and for shares outside [0, 1].
    """

    first: int | tuple[int, int] = (100, 999)
    second: int | tuple[int, int] = (100, 999)
    signs: str = "*"
    code: Number = 0.5
    bugs: Number = 0.2
    seed: int = 0

    def __post_init__(self) -> None:
        span("Calculations.first", self.first, 1)
        span("Calculations.second", self.second, 1)
        if not self.signs or set(self.signs) - set("+*%"):
            raise ValueError(f"Calculations.signs must be some of '+*%', got {self.signs!r}")
        for name in ("code", "bugs"):
            value = getattr(self, name)
            if isinstance(value, int | float) and not 0 <= value <= 1:
                raise ValueError(f"Calculations.{name} is a probability and must lie in [0, 1], got {value}")

    def size(self, split: str) -> int | None:
        return None

    def problem(self, split: str, i: int) -> Problem:
        a, sign, b = drawn("calculations", self.seed, split, i, self._draw, lambda made: "{}{}{}".format(*made))
        rng = generator(self.seed, "task", "calculations solution", split, i)
        answer = {"+": a + b, "*": a * b, "%": a % b}[sign]
        by_code, buggy, kind = rng.random() < self.code, rng.random() < self.bugs, int(rng.integers(len(ERRORS)))
        solution = coded(a, sign, b, answer, [*ERRORS][kind] if buggy else "") if by_code else by_hand(a, sign, b)
        return Problem(
            id=f"calculations/{split}/{i}",
            prompt=[{"role": "user", "content": f"{a}{sign}{b}=?"}],
            answer=str(answer),
            info={"solution": solution},
        )

    def _draw(self, rng: np.random.Generator) -> tuple[int, str, int]:
        sign = self.signs[int(rng.integers(len(self.signs)))]
        return pick(rng, *span("first", self.first, 1)), sign, pick(rng, *span("second", self.second, 1))


def by_hand(a: int, sign: str, b: int) -> str:
    if sign == "*":
        return worked("+".join(str(a * int(part)) for part in parts(b, 1)), str(a * b))
    return worked(str(a - a % b), str(a % b)) if sign == "%" else worked("", str(a + b))


def coded(a: int, sign: str, b: int, answer: int, bug: str = "") -> Sequence[dict[str, Any]]:
    """The trace as messages; `bug`: one of `ERRORS`, which is written, told, and then mended."""
    wrong = [*_ran(bug.format(a=a, sign=sign), ERRORS[bug])] if bug else []
    return [*wrong, *_ran(f"{a}{sign}{b}", str(answer)), {"role": "assistant", "content": worked("", str(answer))}]


def _ran(line: str, told: str) -> Sequence[dict[str, Any]]:
    return [
        {"role": "assistant", "content": f"<code>print({line})</code>"},
        {"role": None, "content": f"<interpreter>{told}</interpreter>"},
    ]
