"""What small programs are asked for: families of the same task with a number k in it, free of any language, and their
texts in languages, which are files.

One TOML file in `program_languages/` is one language, named as in `whet.sandbox`, with these keys:

    frames.KIND           a program that reads queries of that kind, with {body} in it
    families.NAME.body    what stands there, with {k} in it
    families.NAME.slips   pairs [from, to] of parts of such a program: with `to` in place of `from` it is wrong
    slips                 pairs for every family whose program has such a part
    idioms                parts of programs that a tokenizer of words may take as one
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from whet.sandbox.language import language
from whet.tasks.splits import pick

_FOLDER = Path(__file__).parent / "program_languages"

Query = tuple[Any, ...]


class Family(NamedTuple):
    """`value(k, *query)` is the line to print for a query; `kind` says what a query is."""

    kind: str
    text: str
    value: Callable[..., Any]


FAMILIES: dict[str, Family] = {  # those that the paper's page names, and more of their kind
    "sum": Family("two", "their sum plus {k}", lambda k, a, b: a + b + k),
    "product": Family("two", "their product plus {k}", lambda k, a, b: a * b + k),
    "difference": Family("two", "first minus second, times {k}", lambda k, a, b: (a - b) * k),
    "largest": Family("three", "the largest plus {k}", lambda k, *n: max(n) + k),
    "smallest": Family("three", "the smallest minus {k}", lambda k, *n: min(n) - k),
    "multiple": Family("one", "multiple n of {k}", lambda k, n: k * n),  # the nth even number at k = 2
    "remainder": Family("one", "the remainder of n by {k}", lambda k, n: n % k),
    "quotient": Family("one", "the whole part of n by {k}", lambda k, n: n // k),
    "total": Family("one", "the sum of 1 to n, times {k}", lambda k, n: n * (n + 1) // 2 * k),
    "distance": Family("one", "how far n is from {k}", lambda k, n: abs(n - k)),
    "reverse": Family("word", "the letters from the last to the first, then {k}", lambda k, w: w[::-1] + str(k)),
    "vowels": Family("word", "the number of vowels plus {k}", lambda k, w: sum(c in "aeiou" for c in w) + k),
}
KINDS = {"one": "a number n", "two": "two numbers", "three": "three numbers", "word": "a word"}
FENCE = "```"
FRAME = "read a count, then per line {kind}; print for each {text}. "


def statement(name: str, k: int) -> str:
    """What is asked, in no language: input, output, and nothing of how."""
    return FRAME.format(kind=KINDS[FAMILIES[name].kind], text=FAMILIES[name].text.format(k=k))


def query(rng: np.random.Generator, kind: str) -> Query:
    """One query: numbers of 0 .. 60 where there is one, of -30 .. 30 where there are several; words of 2 to 9 letters,
    every other one a vowel more often than not."""
    if kind == "word":
        return ("".join("aeioubcdfghlmnprst"[pick(rng, 0, 17)] for _ in range(pick(rng, 2, 9))),)
    count = ("one", "two", "three").index(kind) + 1
    return tuple(pick(rng, 0, 60) if count == 1 else pick(rng, -30, 30) for _ in range(count))


@dataclass(frozen=True)
class Texts:
    """What a file says. ValueError unless it has every kind and every family, and every slip a place where it fits."""

    name: str
    frames: dict[str, str]
    bodies: dict[str, str]
    slips: dict[str, tuple[tuple[str, str], ...]]
    idioms: tuple[str, ...] = ()

    def code(self, name: str, k: int, slip: tuple[str, str] = ("", "")) -> str:
        """The program of a family; with a slip the wrong one."""
        whole = self._whole(name)
        return (whole.replace(*slip, 1) if slip[0] else whole).replace("{k}", str(k))

    def _whole(self, name: str) -> str:
        return self.frames[FAMILIES[name].kind].strip().replace("{body}", self.bodies[name])


@lru_cache(maxsize=64)
def texts(name: str) -> Texts:
    """The programs in a language. ValueError if there are none, or the file is not as it should be."""
    if name not in languages():
        raise ValueError(f"there are no programs in {name!r}, only in {', '.join(languages())}")
    return read(_FOLDER / f"{name}.toml")


def read(file: Path) -> Texts:
    told = tomllib.loads(file.read_text(encoding="utf-8"))
    frames, families = told.get("frames", {}), told.get("families", {})
    for what, has, wanted in (("frames", frames, KINDS), ("families", families, FAMILIES)):
        if set(has) != set(wanted):
            raise ValueError(f"{file} must have {what} {', '.join(wanted)}, got {', '.join(has)}")
    bodies = {name: family["body"] for name, family in families.items()}
    bare = Texts(file.stem, frames, bodies, {})
    slips = {}
    for name, family in families.items():
        whole = bare._whole(name)
        for part, _ in family["slips"]:
            if part not in whole:
                raise ValueError(f"{file}: the slip of {part!r} has no place in the program for {name}")
        usual = [slip for slip in told.get("slips", ()) if slip[0] in whole]
        slips[name] = tuple((part, other) for part, other in [*family["slips"], *usual])
    return Texts(file.stem, frames, bodies, slips, tuple(told.get("idioms", ())))


@lru_cache(maxsize=1)
def languages() -> tuple[str, ...]:
    return tuple(sorted(file.stem for file in _FOLDER.glob("*.toml")))


def words(numbers: Sequence[int]) -> tuple[str, ...]:
    """Every word of statements and programs, in all languages, and their idioms: `TinyQwen(tokenizer="word",
    words=words(range(2, 30)))` has one token for each."""
    idioms = [FENCE, *re.split(r" ?{\w+};? ?", FRAME), *KINDS.values()]
    idioms += [part for family in FAMILIES.values() for part in re.split(r" ?{k},? ?", family.text)]
    said = [*idioms, *languages()]
    for name in languages():
        told = texts(name)
        idioms += [FENCE + language(name).fences[0], *told.idioms]
        said += [told.code(family, 0, slip) for family in FAMILIES for slip in [("", ""), *told.slips[family]]]
    found = [*idioms, *re.findall(r"\w+", " ".join(said)), *map(str, numbers)]
    return tuple(dict.fromkeys(word for word in found if len(word) > 1))
