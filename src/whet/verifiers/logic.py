"""Logic puzzles, by their rules: any answer that keeps to them is right."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from whet.verifiers.gold import BadGold

LONGEST = 2000  # our choice: characters of an answer
LARGEST = 9  # rows of a grid: a cell is one digit
PAIRS = {"(": ")", "[": "]", "{": "}"}


def prepare(golds: list[str]) -> None:
    """Import reasoning-gym where an entry of it is asked about."""
    of_gym = [gold for gold in golds if '"dataset"' in gold]
    if of_gym:
        from whet.verifiers import reasoning_gym

        reasoning_gym.prepare(of_gym)


def verify(answer: str, gold: str) -> str:
    """Says "right" iff the answer keeps to the rule of the gold, a JSON object {"rule", ...}:

    - "text": it is `value`, blanks at the ends aside. "list": its items, with commas or blanks between them, are those
      of `value`, in that order. "set": in any order, none twice.
    - "latin": it is a full grid of as many rows as the clues `rows` (["1_3", "___", ...], "_" is empty), with "/" or
      line ends between rows, that holds them; every number stands once in each row and column, and in each box of `box`
      x `box`; of each pair of cells in `less`, counted row by row from 0, the first holds less.
    - "brackets": it closes what `opened` leaves open, and nothing else.

    {"dataset", "entry", "config"} is judged by the verifier `reasoning_gym`, {"numbers", "target"} by `countdown`; a
    gold that is no JSON object is a "text". Text is read by these parsers and never evaluated. Raises BadGold for
    another rule, or one that lacks a part.
    """
    held = _read(gold)
    if "dataset" in held:
        from whet.verifiers import reasoning_gym

        return reasoning_gym.verify(answer, gold)
    if "target" in held:
        from whet.verifiers import countdown

        return countdown.verify(answer, gold)
    rule = RULES.get(str(held.get("rule")))
    if rule is None:
        raise BadGold(f"a logic gold has a rule, one of {', '.join(RULES)}, got {gold[:80]!r}")
    if not answer.strip() or len(answer) > LONGEST:
        return "unparseable"
    try:
        verdict = rule(answer.strip(), held)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise BadGold(f"the gold of the rule {held['rule']!r} lacks a part: {gold[:80]!r}: {error!r}") from error
    return "unparseable" if verdict is None else "right" if verdict else "wrong"


def _read(gold: str) -> Mapping[str, Any]:
    try:
        held = json.loads(gold)
    except (ValueError, RecursionError):
        held = gold
    if isinstance(held, dict):
        return held
    if not gold.strip():
        raise BadGold("a logic gold is a JSON object with a rule, or a text, got nothing")
    return {"rule": "text", "value": gold}


# Each says True, False, or None where there is nothing that could be read as an answer.


def _text(answer: str, gold: Mapping[str, Any]) -> bool:
    return answer == gold["value"].strip()


def _list(answer: str, gold: Mapping[str, Any]) -> bool:
    return _items(answer) == _items(gold["value"])


def _set(answer: str, gold: Mapping[str, Any]) -> bool | None:
    items = _items(answer)
    return sorted(items) == sorted(_items(gold["value"])) if len(set(items)) == len(items) else None


def _items(text: str) -> list[str]:
    return text.replace(",", " ").split()


def _latin(answer: str, gold: Mapping[str, Any]) -> bool | None:
    clues, size = gold["rows"], len(gold["rows"])
    if not 0 < size <= LARGEST or any(len(row) != size for row in clues):
        raise KeyError("rows")
    rows = ["".join(_items(row)) for row in answer.replace("/", "\n").split("\n")]
    numbers = "123456789"[:size]
    if len(rows) != size or any(len(row) != size or set(row) - set(numbers) for row in rows):
        return None
    columns = ["".join(row[c] for row in rows) for c in range(size)]
    parts = rows + columns
    if box := gold.get("box"):
        corners = [(r, c) for r in range(0, size, box) for c in range(0, size, box)]
        parts += ["".join(row[c : c + box] for row in rows[r : r + box]) for r, c in corners]
    cells = "".join(rows)
    return (
        all(len(set(part)) == size for part in parts)
        and all(clue in ("_", cell) for clue, cell in zip("".join(clues), cells, strict=True))
        and all(cells[a] < cells[b] for a, b in gold.get("less", ()))
    )


def _brackets(answer: str, gold: Mapping[str, Any]) -> bool | None:
    if set(answer) - set(PAIRS.values()):
        return None
    opened: list[str] = []
    for sign in gold["opened"] + answer:
        if sign in PAIRS:
            opened.append(PAIRS[sign])
        elif not opened or opened.pop() != sign:
            return False
    return not opened


RULES: dict[str, Callable[[str, Mapping[str, Any]], bool | None]] = {
    "text": _text,
    "list": _list,
    "set": _set,
    "latin": _latin,
    "brackets": _brackets,
}
