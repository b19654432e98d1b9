"""Forms that a text can have: JSON, XML, lists, a title, highlights, a language. Linear in the text's length."""

from __future__ import annotations

import json
import re
from typing import Any
from xml.parsers import expat

from whet.verifiers.texts import lines

LONGEST = 10_000  # our choice: characters at a text's start that its language is told by

_BULLET = re.compile(r"[-*•] +(?=\S)")
_NUMBERED = re.compile(r"([0-9]{1,6})[.)] +(?=\S)")
_HIGHLIGHT = re.compile(r"\*\*[^*\n]+\*\*|\*[^*\s][^*\n]*\*")


def is_json(text: str) -> bool:
    """One JSON object or array and nothing else but a code fence around it; NaN and Infinity are no JSON. What is
    nested too deeply to be read is none."""
    try:
        return isinstance(json.loads(_unfenced(text), parse_constant=_refuse), dict | list)
    except (ValueError, RecursionError):
        return False


def is_xml(text: str) -> bool:
    """One well-formed element and nothing else but a code fence around it. Nothing is expanded or fetched: a text that
    declares a document type, and so might define entities, is refused where it does."""
    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = _refuse
    try:
        parser.Parse(_unfenced(text), True)
    except (expat.ExpatError, ValueError):  # ValueError: ours, or text that has no encoding
        return False
    return True


def bullets(text: str) -> list[str]:
    """What stands behind "- ", "* " or "• " at the start of a line."""
    return [line[mark.end() :] for line in lines(text) if (mark := _BULLET.match(line))]


def numbered(text: str) -> list[str]:
    """What stands behind "1. ", "2. ", ... or "1) ", "2) ", ... at the start of a line; nothing if the numbers are not
    1, 2, 3, ..."""
    marks = [(line, mark) for line in lines(text) if (mark := _NUMBERED.match(line))]
    counted = [int(mark[1]) for _, mark in marks] == list(range(1, len(marks) + 1))
    return [line[mark.end() :] for line, mark in marks] if counted else []


def has_title(text: str) -> bool:
    """The first line that is not blank is "<<...>>" or "# ..." with something in it."""
    first = next(iter(lines(text)), "")
    if first.startswith("<<") and first.endswith(">>"):
        return len(first) > 4 and bool(first[2:-2].strip())
    return first.startswith("# ") and bool(first[2:].strip())


def highlights(text: str) -> int:
    """How many stretches of a line stand between stars, *so* or **so**."""
    return sum(len(_HIGHLIGHT.findall(line)) for line in text.splitlines())


def language(text: str) -> str:
    """The language that py3langid takes the text's start for, as its code: "en", "de", "zxx" for none. It always
    answers the same; of a few words it knows little. ImportError without the extra "language"."""
    try:
        import py3langid
    except ImportError as error:
        raise ImportError("a constraint on language needs py3langid: pip install 'whet[language]'") from error
    return py3langid.classify(text[:LONGEST])[0]


def _unfenced(text: str) -> str:
    """Without the code fence around it, if there is one."""
    text = text.strip()
    if len(text) > 6 and text.startswith("```") and text.endswith("```"):
        return text[3:-3].partition("\n")[2].strip()
    return text


def _refuse(*_: Any) -> None:
    raise ValueError("refused")
