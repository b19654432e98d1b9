"""What a model wrote, as text on a page: escaped, cut, and with nothing in it that hides or reorders."""

from __future__ import annotations

import re
from typing import Any

from markupsafe import Markup, escape

CUT = 2000  # our choice: characters of a text that are shown at first

# Controls but for newline and tab, marks that change the direction, what has no width, tags, lone surrogates.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb\ud800-\udfff\U000e0000-\U000e0fff]"
)


def visible(value: Any) -> Markup:
    """`value` as HTML text: markup is escaped, and a character that could not be seen is named instead: a terminal's
    escape is ␛, a right-to-left override U+202E, each in a `span`."""
    out, last = [], 0
    text = "" if value is None else str(value)
    for found in _UNSEEN.finditer(text):
        out += [escape(text[last : found.start()]), _NAMED % _name(found[0])]
        last = found.end()
    return Markup("").join([*out, escape(text[last:])])


def plain(value: Any) -> str:
    """The same for places that hold no markup, as titles and labels of plots."""
    return _UNSEEN.sub(lambda found: _name(found[0]), "" if value is None else str(value))


def cut(value: Any, most: int = CUT) -> tuple[str, int]:
    """(its first `most` characters, how many more there are)."""
    text = "" if value is None else str(value)
    return text[:most], max(0, len(text) - most)


def short(value: Any, most: int = 160) -> Markup:
    """On one line, for a cell of a table."""
    text, more = cut(value, most)
    return visible(" ⏎ ".join(text.split("\n"))) + ("…" if more else "")


_NAMED = Markup('<span class="unseen">%s</span>')


def _name(character: str) -> str:
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    return "␡" if code == 0x7F else f"U+{code:04X}"
