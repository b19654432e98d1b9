"""Word problems of one line that are answered by a JSON object: "Ann has 7 nuts, eats 3." -> {"reasoning": ...}."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np

from whet.randomness import generator
from whet.schedule import Count, Number
from whet.tasks.splits import drawn, pick, span
from whet.types import Problem

PEOPLE = ("Ann", "Bob", "Eva", "Ian", "Mia", "Tom")
THINGS = ("nuts", "pens", "eggs", "figs", "keys", "toys")
GAINS = ("gets", "buys", "wins")
LOSSES = ("sells", "loses", "gives")
FAULTS = ("brace", "prose", "key")


@dataclass(frozen=True)
class JsonProblems:
    """Someone has 1 to `largest` things and then gains or loses 1 to `largest`, n times for n in `steps`, never below
    0: how many are left?

    "Ann has 7 nuts, gets 5, loses 3." is worked as {"reasoning":"7+5=12;12-3=9","answer":"9"}, both fields text. With
    one token per character and the defaults, prompt and object together are 57 to 76 tokens. `info["solution"]` is that
    object, but a share `broken` of them have a fault, `info["broken"]`, each as likely as the others: "brace", the last
    one is missing; "prose", words stand before the object; "key", the answer is called "result". "" means none. Who
    imitates them learns content and a form that is often wrong.

    Splits share no calculation, whoever has whatever (`splits.split_of`). Raises ValueError for steps or `largest`
    below 1, and for a share outside [0, 1].
    """

    steps: int | tuple[int, int] = (1, 2)
    largest: Count = 9
    broken: Number = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        span("JsonProblems.steps", self.steps, 1)
        if isinstance(self.largest, int | float) and self.largest < 1:
            raise ValueError(f"JsonProblems.largest must be at least 1, got {self.largest}")
        if isinstance(self.broken, int | float) and not 0 <= self.broken <= 1:
            raise ValueError(f"JsonProblems.broken is a share and must lie in [0, 1], got {self.broken}")

    def size(self, split: str) -> int | None:
        return None

    def problem(self, split: str, i: int) -> Problem:
        numbers = drawn("json_problems", self.seed, split, i, self._draw, str)
        words, faults = (generator(self.seed, "task", f"json_problems {of}", split, i) for of in ("words", "faults"))
        steps, answer = _worked(numbers)
        text = written(";".join(steps), str(answer))
        fault = FAULTS[pick(faults, 0, len(FAULTS) - 1)] if faults.random() < self.broken else ""
        return Problem(
            id=f"json_problems/{split}/{i}",
            prompt=[{"role": "user", "content": _told(numbers, words)}],
            answer=str(answer),
            info={"solution": with_fault(text, fault), "broken": fault},
        )

    def _draw(self, rng: np.random.Generator) -> list[int]:
        """What there is at first, and by how much it changes."""
        numbers = [pick(rng, 1, int(self.largest))]
        for _ in range(pick(rng, *span("steps", self.steps, 1))):
            most = min(sum(numbers), int(self.largest))  # as much can be lost
            gains = not most or pick(rng, 0, 1)
            numbers.append(pick(rng, 1, int(self.largest)) if gains else -pick(rng, 1, most))
        return numbers


def written(reasoning: str, answer: str) -> str:
    """The object, in its shortest form."""
    return json.dumps({"reasoning": reasoning, "answer": answer}, separators=(",", ":"))


def with_fault(text: str, fault: str) -> str:
    """An object with one of `FAULTS`, or as it is."""
    if fault == "brace":
        return text[:-1]
    if fault == "prose":
        return f"Sure: {text}"
    return text.replace('"answer":', '"result":') if fault == "key" else text


def _worked(numbers: list[int]) -> tuple[list[str], int]:
    total, steps = numbers[0], []
    for number in numbers[1:]:
        steps.append(f"{total}{number:+d}={total + number}")
        total += number
    return steps, total


def _told(numbers: list[int], rng: np.random.Generator) -> str:
    def one_of(words: tuple[str, ...]) -> str:
        return words[pick(rng, 0, len(words) - 1)]

    changes = [f", {one_of(GAINS if number > 0 else LOSSES)} {abs(number)}" for number in numbers[1:]]
    return f"{one_of(PEOPLE)} has {numbers[0]} {one_of(THINGS)}{''.join(changes)}."
