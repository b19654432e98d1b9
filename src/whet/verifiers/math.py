"""Mathematical equivalence, by math-verify."""

from __future__ import annotations

import logging
import re
from typing import Any

from whet.verifiers.gold import BadGold

LONGEST = 20_000  # our choice: characters at the end of an answer that are searched for an expression
DEEPEST = 100  # our choice: brackets open at once, of which its grammar takes seconds to see that they are not closed

_PROSE = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{2,}\s+[A-Za-z]{2,}")  # two words in a row: a sentence, no expression


def prepare(golds: list[str]) -> None:
    """Import what takes long, so that no answer's deadline pays for it."""
    verify("$1$", "$1$")


def verify(answer: str, gold: str) -> str:
    """Says "right" iff math-verify finds the two equal: \\frac{1}{2}, 0.5 and \\boxed{1/2} are; sets have no order.

    Takes LaTeX with or without delimiters, and sentences that hold an expression. math-verify's own time limit is a
    signal that only works in a main thread, so it is off: the pool's deadline stands in for it. What sympy can not read
    is compared as text, and is "unparseable" unless it is the same text; so is what has brackets too deep.
    Raises BadGold when no expression can be read from the gold.
    """
    import math_verify

    logging.getLogger("math_verify").setLevel(logging.ERROR)  # it warns that its limit is off
    meant = _parse(gold)
    if not meant:
        raise BadGold(f"the gold answer must hold a mathematical expression, got {gold[:80]!r}")
    said = _parse(answer[-LONGEST:])
    if said and math_verify.verify(meant, said, timeout_seconds=None):
        return "right"
    return "wrong" if any(not isinstance(reading, str) for reading in said) else "unparseable"


def _parse(text: str) -> list[Any]:
    """What math-verify reads in `text`. An expression that stands alone is put in a box, for without any delimiter
    only plain numbers would be seen."""
    import math_verify

    text = text.strip()
    if not text or _depth(text) > DEEPEST:
        return []
    if not re.search(r"\\boxed|\$|\\\(|\\\[", text) and "\n" not in text and not _PROSE.search(text):
        text = f"\\boxed{{{text}}}"
    return math_verify.parse(text, parsing_timeout=None)  # pyright: ignore[reportArgumentType]


def _depth(text: str) -> int:
    """How many brackets are open at once, at most."""
    deepest = depth = 0
    for letter in text:
        depth += (letter in "([{") - (letter in ")]}")
        deepest = max(deepest, depth)
    return deepest
