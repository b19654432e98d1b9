"""Families of logic puzzles, each with a ladder of knobs from easy to hard."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from string import ascii_lowercase
from typing import Any, NamedTuple

import numpy as np

from whet.randomness import generator
from whet.tasks._logic import Made
from whet.tasks._logic_formulas import boolean
from whet.tasks._logic_grids import futoshiki, sudoku
from whet.tasks._logic_texts import cipher, dyck, lies, operation, sorting
from whet.tasks.gym import Gym
from whet.tasks.mixture import Mixture
from whet.tasks.splits import drawn, pick, span, worked
from whet.types import Problem

Knobs = Mapping[str, Any]
# What own families are written with, as a word tokenizer's words and alphabet.
WORDS = ("Which", "are", "true", "True", "False", "not", "and", "or", "is", "says", "lies", "yes", "no")
WORDS += ("Shift", "Sort", "Close", "Fill", "mod")
SIGNS = " 0123456789ABCDEFGH,;:.?/_<>=+-@()[]{}" + ascii_lowercase


class Family(NamedTuple):
    """`make(rng, **knobs)` is one puzzle; without it the family is the data set `gym` of reasoning-gym, and knobs are
    its config. `ladder`: knobs from easy to hard; a level is a place in it."""

    ladder: tuple[Knobs, ...]
    make: Callable[..., Made] | None = None
    gym: str = ""


def _steps(**knobs: tuple[Any, ...]) -> tuple[Knobs, ...]:
    """A ladder of knobs that rise together."""
    return tuple(dict(zip(knobs, values, strict=True)) for values in zip(*knobs.values(), strict=True))


# Ladders are our choice, the first levels for models of under a million parameters. SynLogic's own settings for boolean
# expressions, depths 2 to 5 and 3 to 6 options, are the last four.
FAMILIES: dict[str, Family] = {
    "boolean": Family(
        _steps(options=(3, 3, 3, 3, 4, 5, 6), depth=(1, (1, 2), 2, (2, 3), (2, 3), (3, 4), (4, 5))), boolean
    ),
    "sudoku": Family(_steps(holes=(2, 4, 6, 8, 10, 12)), sudoku),
    "lies": Family(_steps(people=(2, 3, 4, 5, 6, 7, 8)), lies),
    "cipher": Family(_steps(length=(2, 3, 3, 4, 5, 6), shift=(2, 3, 5, 5, 7, 9)), cipher),
    "sorting": Family(_steps(count=(3, 4, 5, 6, 7, 8), length=(1, 1, 1, 2, 2, 3)), sorting),
    "dyck": Family(_steps(length=(4, 6, 8, 10, 14, 18)), dyck),
    "operation": Family(_steps(terms=(2, 3, 3, 4, 5, 6), largest=(2, 2, 3, 4, 6, 9)), operation),
    "futoshiki": Family(
        _steps(size=(3, 3, 3, 4, 4, 5), holes=(3, 4, 6, 8, 10, 14), signs=(2, 3, 4, 6, 8, 12)), futoshiki
    ),
    "kakurasu": Family(
        _steps(min_rows=(3, 4, 5, 6), max_rows=(3, 4, 5, 6), min_cols=(3, 4, 5, 6), max_cols=(3, 4, 5, 6)),
        gym="kakurasu",
    ),
    "survo": Family(_steps(min_empty=(1, 2, 3, 4, 5), max_empty=(1, 2, 3, 4, 5)), gym="survo"),
    "cryptarithm": Family(_steps(min_words=(2, 3, 4), max_words=(2, 3, 4)), gym="cryptarithm"),
    "unique-sudoku": Family(_steps(min_empty=(2, 4, 6, 8, 10), max_empty=(2, 4, 6, 8, 10)), gym="mini_sudoku"),
    "letter-counting": Family(_steps(min_words=(5, 10, 20, 40), max_words=(5, 10, 20, 40)), gym="letter_counting"),
    "game-of-24": Family(_steps(max_value=(6, 8, 10)), gym="puzzle24"),
}
OWN = tuple(name for name, family in FAMILIES.items() if family.make)


@dataclass(frozen=True)
class Logic:
    """Puzzles of one `family` at a `level`, or at levels drawn evenly from a range (low, high), both included; with
    `knobs` at these and at no level.

    Puzzles are pairs of a generator and rules (SynLogic, arXiv 2505.19641): the answer is the JSON text by which the
    verifier `logic` judges, {"rule", ...}, or, for families of reasoning-gym, its entry. Where several answers keep to
    the rules, each is right. `info`: "solution" has short steps where the family has them, "wrong" are answers that
    break the rules by little, "level" the level. Splits share no question, at whatever levels.

    Raises ValueError for an unknown family, a level beyond its ladder, knobs that it has not, and, from `problem`,
    knobs that make too few different puzzles to hold some out; ImportError for a family of reasoning-gym without it.
    """

    family: str = "boolean"
    level: int | tuple[int, int] = 0
    knobs: Knobs | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.family not in FAMILIES:
            raise ValueError(f"Logic.family must be one of {', '.join(FAMILIES)}, got {self.family!r}")
        last = len(FAMILIES[self.family].ladder) - 1
        if span("Logic.level", self.level, 0)[1] > last:
            raise ValueError(f"Logic.level of {self.family!r} must lie in 0 .. {last}, got {self.level}")
        known = FAMILIES[self.family].ladder[0]
        if FAMILIES[self.family].make is not None and set(self.knobs or {}) - set(known):
            raise ValueError(f"Logic.knobs of {self.family!r} are {', '.join(known)}, got {dict(self.knobs or {})}")

    def size(self, split: str) -> int | None:
        return None

    def problem(self, split: str, i: int) -> Problem:
        if FAMILIES[self.family].make is None:
            return self._of_gym(split, i)
        made, level = drawn(f"logic/{self.family}", self.seed, split, i, self._draw, lambda of: of[0].question)
        return Problem(
            id=f"logic/{self.family}/{split}/{i}",
            prompt=[{"role": "user", "content": made.question}],
            answer=dict(made.gold),
            info={
                "solution": worked(made.steps, made.answer),
                "wrong": [worked(made.steps, answer) for answer in made.wrong],
                "level": level,
            },
        )

    def _draw(self, rng: np.random.Generator) -> tuple[Made, int]:
        family, level = FAMILIES[self.family], pick(rng, *span("level", self.level, 0))
        assert family.make is not None  # `problem` asks reasoning-gym then
        return family.make(rng, **(self.knobs or family.ladder[level])), level

    def _of_gym(self, split: str, i: int) -> Problem:
        family = FAMILIES[self.family]
        level = pick(generator(self.seed, "logic level", self.family, split, i), *span("level", self.level, 0))
        problem = Gym(family.gym, self.knobs or family.ladder[level], self.seed).problem(split, i)
        entry = json.loads(str(problem.answer))["entry"]
        answer, gold = entry["answer"], problem.answer
        if self.family == "game-of-24":  # its own scorer takes any four numbers that make 24
            gold = {"numbers": entry["metadata"]["numbers"], "target": 24}
        info = {**problem.info, "wrong": [worked("", f"{answer}0")], "level": level}
        return replace(problem, id=f"logic/{self.family}/{split}/{i}", answer=gold, info=info)


def every() -> Mixture:
    """The own families, each over its whole ladder."""
    return Mixture({name: Logic(name, (0, len(FAMILIES[name].ladder) - 1)) for name in OWN})


EXAMPLES = [Logic(name, (0, len(FAMILIES[name].ladder) - 1), seed=7) for name in OWN]
