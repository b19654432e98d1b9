"""Examples of functions, `assert f(1, 2) == 3`, as records of what a program reads and prints: the same for every
language. Agnostics (011) lets a model rewrite them; this is the part that a rule can do, and it is our own.
"""

from __future__ import annotations

from typing import Any

from whet.verifiers.code import asserted
from whet.verifiers.gold import BadGold

FORMAT = (  # our choice
    "Each argument stands on lines of its own, one after another: a number or a text on one line, true or false, and a "
    "list as a line with how many it has, then each of them in the same way. The result is printed in that form."
)


def record(text: str) -> dict[str, str]:
    """`assert f(3, [1, 2]) == 4` as {"stdin": "3\\n2\\n1\\n2\\n", "stdout": "4"}, which `read_tests` reads; see
    `FORMAT`. Tuples are lists. BadGold for what is no such assertion, and for values that would not come out the same
    in every language: fractions, None, sets, dictionaries, a text with an end of line or with blanks at its ends."""
    case = asserted(text)
    lines = [line for value in case.args for line in _lines(value, text)]
    return {"stdin": "".join(f"{line}\n" for line in lines), "stdout": "\n".join(_lines(case.value, text))}


def _lines(value: Any, text: str) -> list[str]:
    if isinstance(value, bool):
        return ["true" if value else "false"]
    if isinstance(value, int):
        return [str(value)]
    if isinstance(value, str) and value == value.strip() and len(value.splitlines()) <= 1:
        return [value]
    if isinstance(value, (list, tuple)):
        return [str(len(value)), *(line for each in value for line in _lines(each, text))]
    raise BadGold(f"{text[:120]!r} has {value!r:.60}, which can not be a line of text in every language")
