"""GSM8K's own answer format: "... #### 18"."""

from __future__ import annotations

import re
from collections import deque

from whet.verifiers import numeric
from whet.verifiers.gold import BadGold

_NUMBERS = re.compile(r"(?<![0-9A-Za-z.,])[-−+]?\$?(?:[0-9][0-9,]*(?:\.[0-9]+)?|\.[0-9]+)(?:/[0-9]+)?%?")


def verify(answer: str, gold: str) -> str:
    """Says "right" iff the answer's number equals the gold one, exactly (18, 18.00 and $18 are equal).

    The number is what follows the last "####" on its line; without one, the last number of the text (Cobbe et al.
    2021, "Training Verifiers to Solve Math Word Problems"). `gold` is a number, or a GSM8K answer with its reasoning.
    A "####" that is not followed by exactly one number is "unparseable".
    Raises BadGold when the gold has no number.
    """
    meant = _number(gold)
    if meant is None:
        raise BadGold(f"the gold answer must hold a number behind '####' or be one, got {gold[-80:]!r}")
    said = _number(answer)
    if said is None:
        return "unparseable"
    return "right" if said.value == meant.value else "wrong"


def _number(text: str) -> numeric.Read | None:
    _, mark, tail = text.rpartition("####")
    if mark:
        return numeric.read(tail.strip().split("\n", 1)[0])
    found = deque(_NUMBERS.finditer(text), maxlen=1)
    return numeric.read(found[0][0].rstrip(",")) if found else None
