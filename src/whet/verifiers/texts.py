"""What can be counted in a text. Everything here is linear in the text's length."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_STOPS = re.compile(r"[.!?。！？]+")


def words(text: str) -> list[str]:
    """Runs of letters and digits in lower case; "don't" and "well-kept" are one word. What is written without spaces
    (Chinese, say) is one word up to the next mark."""
    return [word.casefold() for word in _WORD.findall(text)]


def sentences(text: str) -> int:
    """Stretches with a word in them, up to marks . ! ? (or their Chinese forms) before blank space or the end."""
    count, start = 0, 0
    for stop in _STOPS.finditer(text):
        after = text[stop.end() : stop.end() + 1]
        if not after or after.isspace() or stop[0][-1] in "。！？":
            count += _WORD.search(text, start, stop.start()) is not None
            start = stop.end()
    return count + (_WORD.search(text, start) is not None)


def lines(text: str) -> list[str]:
    """Its lines that are not blank, without blank space at their ends."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def paragraphs(text: str) -> int:
    """Runs of lines between blank ones."""
    count, inside = 0, False
    for line in text.splitlines():
        count += bool(line.strip()) and not inside
        inside = bool(line.strip())
    return count


def occurrences(phrase: Sequence[str], said: Sequence[str]) -> int:
    """How often the words of `phrase` stand in a row in `said`, without overlap."""
    count, at = 0, 0
    while (at := place(phrase, said, at)) >= 0:
        count, at = count + 1, at + len(phrase)
    return count


def place(phrase: Sequence[str], said: Sequence[str], start: int = 0) -> int:
    """Where `phrase` first stands in `said` from word `start` on; -1 for nowhere."""
    wanted = list(phrase)
    for at in range(start, len(said) - len(wanted) + 1):
        if said[at] == wanted[0] and said[at : at + len(wanted)] == wanted:
            return at
    return -1


def unquoted(text: str, instruction: str, keywords: Collection[str], least: int) -> str:
    """The text with a NUL for every character of a word that is quoted from the instruction, so as long as before.

    A quote is a run of words all of which stand in runs of `least` words (or of all words of a shorter instruction)
    that the instruction has, too, and one of which at least is no keyword: keywords by themselves were asked for.
    """
    asked, found = words(instruction), list(_WORD.finditer(text))
    said = [match[0].casefold() for match in found]
    size = min(least, len(asked))
    if not size:
        return text
    known = {tuple(asked[i : i + size]) for i in range(len(asked) - size + 1)}
    copied = [False] * (len(said) + 1)  # the last one ends a run
    for i in range(len(said) - size + 1):
        if tuple(said[i : i + size]) in known:
            copied[i : i + size] = [True] * size
    out, done, start = [], 0, -1
    for i, mine in enumerate(copied):
        if mine and start < 0:
            start = i
        elif not mine and start >= 0:
            for match in found[start:i] if any(word not in keywords for word in said[start:i]) else ():
                out += [text[done : match.start()], "\0" * len(match[0])]
                done = match.end()
            start = -1
    return "".join([*out, text[done:]])
