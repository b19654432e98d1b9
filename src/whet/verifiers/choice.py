"""The letter of a multiple-choice question."""

from __future__ import annotations

import re

from whet.verifiers.gold import BadGold

_ADORNMENT = " \t\r\n*_\"'`$()[]{}.,:;!"


def verify(answer: str, gold: str, letters: str = "ABCDE") -> str:
    """Says "right" iff both name the same letter of `letters`.

    Understood: "B", "(b)", "**B.**", "\\boxed{B}", "B) Paris", and "... the answer is (B) ..." anywhere. An answer that
    states two different letters is "unparseable": guessing all of them scores nothing.
    Raises BadGold when the gold names no letter, ValueError when `letters` are not distinct capitals.
    """
    if not letters.isascii() or not letters.isalpha() or not letters.isupper() or len(set(letters)) != len(letters):
        raise ValueError(f"choice.letters must be distinct capital letters such as 'ABCDE', got {letters!r}")
    meant = letter(gold, letters)
    if meant is None:
        raise BadGold(f"the gold answer must be one of the letters {letters}, got {gold[:80]!r}")
    said = letter(answer, letters)
    if said is None:
        return "unparseable"
    return "right" if said == meant else "wrong"


def letter(text: str, letters: str = "ABCDE") -> str | None:
    """The one letter that `text` states, as a capital, or None."""
    bare = text.strip(_ADORNMENT).removeprefix("\\boxed{").removeprefix("\\text{").strip(_ADORNMENT)
    if len(bare) == 1:
        return bare.upper() if bare.upper() in letters else None
    stated = re.findall(rf"\b[Aa]nswer(?: is)?:? ?[*_(\[{{$\"']{{0,4}}(?:\\boxed\{{)?([{letters}])\b", text)
    if not stated and re.match(rf"[(\[*]{{0,3}}[{letters}][)\].:*]", text.lstrip()):
        stated = re.findall(rf"(?:^|[\s(\[*,;])([{letters}])(?=[)\].:*])", text)  # "B) Paris", but not "A) x B) y"
    return stated[0] if len(set(stated)) == 1 else None
