"""What an attempt says, and the answer inside it. Everything here is linear in the text's length."""

from __future__ import annotations

import re
from typing import Literal

from whet.types import Trajectory

Extract = Literal["answer", "boxed", "final", "all"]

_BRACES = re.compile(r"\\boxed\s*\{|\\.|[{}]", re.DOTALL)


def response(trajectory: Trajectory) -> str:
    """All text that the policy wrote. Turns that follow one another are one text; where something else stood between
    them (a tool's result, a hint) there is a line end in its place.

    A template that opens the thinking itself leaves "<think>" at the end of the prompt: it is put back in front, so
    that a format reward sees the whole pair.
    """
    parts: list[str] = []
    before = ""  # the role of the turn before
    for i, turn in enumerate(trajectory.turns):
        if turn.role == "policy":
            if before != "policy":
                opened = i > 0 and trajectory.turns[i - 1].text.rstrip().endswith("<think>")
                parts.append(("\n" if parts else "") + ("<think>" if opened else ""))
            parts.append(turn.text)
        before = turn.role
    return "".join(parts)


def tagged(text: str, tag: str = "answer") -> str | None:
    """What stands in the last closed <tag>...</tag>, without blank space at its ends; None if there is none."""
    stop = text.rfind(f"</{tag}>")
    start = text.rfind(f"<{tag}>", 0, max(stop, 0))
    return text[start + len(tag) + 2 : stop].strip() if start >= 0 else None


def boxed(text: str) -> str | None:
    """What stands in the \\boxed{...} that closes last, its braces balanced; None if there is none."""
    opened: list[int] = []  # for each open brace where a box's content starts, or -1 for a plain brace
    found = None
    for match in _BRACES.finditer(text):
        if match[0].startswith("\\boxed"):
            opened.append(match.end())
        elif match[0] == "{":
            opened.append(-1)
        elif match[0] == "}" and opened and (start := opened.pop()) >= 0:
            found = text[start : match.start()].strip()
    return found


def final(text: str, whole: bool = True) -> str | None:
    """The answer of a text in whatever form: behind the last "</think>", the answer tag, else the box, else the whole
    (`whole=True`) or None."""
    text = text.rpartition("</think>")[2]
    for found in (tagged(text), boxed(text)):
        if found is not None:
            return found
    return text.strip() if whole else None


def extracted(text: str, how: Extract) -> str | None:
    """Where `how` looks: "answer" in the answer tag; "boxed" in the box; "final" see `final`; "all" at the whole text.
    None or blank where there is no answer."""
    if how == "answer":
        return tagged(text)
    if how == "boxed":
        return boxed(text)
    return final(text) if how == "final" else text
