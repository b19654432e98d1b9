"""Who is what: answers such as "Ann=knight, Bob=knave"."""

from __future__ import annotations

import re

from whet.verifiers.gold import BadGold

LONGEST = 10_000  # our choice: characters

_NUMBERED = re.compile(r"\s*[(\[]?[0-9]{1,3}[)\].]\s*")


def verify(answer: str, gold: str) -> str:
    """Says "right" iff the answer gives every name of the gold the gold's role, and names nobody else.

    Pairs are written "Ann=knight", "Ann: knight" or "Ann is a knight", separated by commas, semicolons, line ends or
    "and", in any order and any case. A name with two roles, or a piece that is no pair, is "unparseable".
    Raises BadGold when the gold is not such a list.
    """
    meant = _pairs(gold)
    if not meant:
        raise BadGold(f"the gold answer must look like 'Ann=knight, Bob=knave', got {gold[:80]!r}")
    said = _pairs(answer)
    if not said:
        return "unparseable"
    return "right" if said == meant else "wrong"


def _pairs(text: str) -> dict[str, str] | None:
    """{name: role} in lower case; None where a piece is no pair or names contradict one another."""
    if len(text) > LONGEST:
        return None
    found: dict[str, str] = {}
    for piece in re.split(r"[,;\n]| and ", text.casefold().strip(" \t\r\n.")):
        piece = _NUMBERED.sub("", piece.strip().removeprefix("and "), count=1) if piece.strip() else ""
        if not piece:
            continue
        for mark in ("=", ":", " is "):
            name, there, role = piece.partition(mark)
            if there:
                break
        name = name.strip(" *_`-")
        role = role.strip(" *_`.").removeprefix("an ").removeprefix("a ").strip()
        if not there or not name or not role or found.setdefault(name, role) != role:
            return None
    return found
