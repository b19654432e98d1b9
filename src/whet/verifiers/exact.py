"""The same text, blank space aside."""

from __future__ import annotations

from whet.verifiers.gold import BadGold


def verify(answer: str, gold: str, case: bool = True) -> str:
    """Says "right" iff words(answer) == words(gold), where words() splits at blank space and drops it at both ends.

    `case=False` also ignores upper and lower case. A blank answer is "unparseable".
    Raises BadGold for a blank gold, which a blank answer would match.
    """
    said, meant = answer.split(), gold.split()
    if not meant:
        raise BadGold("the gold answer is blank; give the problem an answer")
    if not said:
        return "unparseable"
    if not case:
        said, meant = [word.casefold() for word in said], [word.casefold() for word in meant]
    return "right" if said == meant else "wrong"
