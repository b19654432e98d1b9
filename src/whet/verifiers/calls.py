"""Tool calls in a model's text, in the common ways of writing them. They are read as strict JSON, never run."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple, get_args

from whet.verifiers.strict_json import parse as parse_json
from whet.verifiers.strict_json import skip, value_at

LONGEST = 100_000  # our choice: characters of a text that is searched for calls
MOST = 100  # our choice: calls in one text
SHOWN = 80  # our choice: characters of a malformed call that are shown

Style = Literal["auto", "tags", "functions", "mistral", "json"]

_THINK = re.compile(r"</?think>")
_FUNCTION = re.compile(r"<function=([^<>\s]{1,200})>")
_MARKS: dict[str, Style] = {"<tool_call>": "tags", "<function=": "functions", "[TOOL_CALLS]": "mistral"}
_BESIDE = {"id", "type", "index"}  # keys that a call may have besides its name and arguments


class Call(NamedTuple):
    """A call of the tool `name` with {argument: JSON value}."""

    name: str
    arguments: dict[str, Any]


class Malformed(NamedTuple):
    """What was meant as a call and is none: how it begins, and why."""

    text: str
    why: str


class Parsed(NamedTuple):
    calls: list[Call]
    malformed: list[Malformed]


def parse(text: str, style: Style = "auto") -> Parsed:
    """The calls in `text`, in order, and what looks like one and is malformed. Nothing raises; linear in the text.

    "tags": <tool_call>...</tool_call> with one JSON object or several, or a list of them (Hermes, Qwen, ToolRL).
    "functions": <function=name>{...}</function>, the arguments inside (Llama 3.1). "mistral": [TOOL_CALLS] and a JSON
    list. "json": the whole text is a JSON object or a list of them (OpenAI; Llama 3.1, with or without <|python_tag|>);
    a text that does not begin like one has no calls. "auto": the first mark that occurs says which, else "json".

    An object is {"name": text, "arguments": {...}}, or "parameters" instead, or such an object under "function"; the
    arguments may be JSON in a string. JSON is strict (`strict_json.parse`).
    What stands in <think>...</think> is not looked at (see `spoken`). A text of more than LONGEST characters or MOST
    calls is malformed as a whole. ValueError for an unknown style.
    """
    if style not in get_args(Style):
        raise ValueError(f"style must be one of {', '.join(get_args(Style))}, got {style!r}")
    if len(text) > LONGEST:
        return Parsed([], [_bad(text, f"{len(text)} characters, at most {LONGEST} are read")])
    text = spoken(text)
    if style == "auto":
        places: dict[int, Style] = {text.find(mark): kind for mark, kind in _MARKS.items() if mark in text}
        style = places[min(places)] if places else "json"
    read: dict[Style, Callable[[str], Iterator[Call | Malformed]]]
    read = {"tags": _tags, "functions": _functions, "mistral": _mistral, "json": _json}
    calls: list[Call] = []
    malformed: list[Malformed] = []
    for found in read[style](text):
        if isinstance(found, Call):
            calls.append(found)
        else:
            malformed.append(found)
        if len(calls) + len(malformed) > MOST:
            return Parsed([], [_bad(text, f"more than {MOST} calls")])
    return Parsed(calls, malformed)


def spoken(text: str) -> str:
    """`text` without its thoughts: without <think>...</think>, what is inside a thought that is not closed, and what
    stands before a </think> that nothing opened (a template may have). A tag inside a thought opens another one."""
    parts: list[str] = []
    depth = at = 0
    for tag in _THINK.finditer(text):
        if tag[0] == "<think>":
            if not depth:
                parts.append(text[at : tag.start()])
            depth += 1
        elif depth:
            depth -= 1
        else:
            parts.clear()
        at = tag.end()
    return "\n".join(parts if depth else [*parts, text[at:]])  # a line end, so that two halves do not become a tag


def _tags(text: str) -> Iterator[Call | Malformed]:
    at = text.find("<tool_call>")
    while at >= 0:
        start, stop = at + len("<tool_call>"), text.find("</tool_call>", at)
        if stop < 0:
            yield _bad(text[at:], "<tool_call> is not closed")
            return
        yield from _values(text[start:stop])
        at = text.find("<tool_call>", stop)


def _functions(text: str) -> Iterator[Call | Malformed]:
    at = text.find("<function=")
    while at >= 0:
        opened, stop = _FUNCTION.match(text, at), text.find("</function>", at)
        if opened is None or stop < opened.end():
            yield _bad(text[at:], "it is not <function=name>{...}</function>")
            return
        inside = text[opened.end() : stop]
        try:
            yield _named(opened[1], parse_json(inside))
        except ValueError as error:
            yield _bad(inside, str(error))
        at = text.find("<function=", stop)


def _mistral(text: str) -> Iterator[Call | Malformed]:
    _, mark, rest = text.partition("[TOOL_CALLS]")
    if mark:
        yield from _values(rest)


def _json(text: str) -> Iterator[Call | Malformed]:
    text = text.strip().removeprefix("<|python_tag|>").strip()
    if text[:1] in ("{", "["):
        yield from _values(text, empty=True)


def _values(text: str, empty: bool = False) -> Iterator[Call | Malformed]:
    """JSON values one behind another; what can not be read ends them. `empty`: an empty list is no call, and fine."""
    at = skip(text, 0)
    if at == len(text):
        yield _bad(text, "there is nothing in it")
    while at < len(text):
        start = at
        try:
            value, at = value_at(text, at)
        except ValueError as error:
            yield _bad(text[start:], str(error))
            return
        if value == [] and not empty:
            yield _bad(text[start:at], "there is nothing in it")
        for item in value if isinstance(value, list) else [value]:
            try:
                yield _call(item)
            except ValueError as error:
                yield _bad(text[start:at], str(error))
        at = skip(text, at)


def _call(value: Any) -> Call:
    """An object as a call. ValueError if it is not one."""
    if isinstance(value, dict) and "function" in value and not value.keys() - {"function"} - _BESIDE:
        value = value["function"]
    if not isinstance(value, dict):
        raise ValueError("a call is an object with a name and arguments")
    held = [key for key in ("arguments", "parameters") if key in value]
    if len(held) != 1:
        raise ValueError('a call has either "arguments" or "parameters"')
    if value.keys() - {"name", held[0]} - _BESIDE:
        raise ValueError("a call has keys that none has")
    arguments = value[held[0]]
    return _named(value.get("name"), parse_json(arguments) if isinstance(arguments, str) else arguments)


def _named(name: Any, arguments: Any) -> Call:
    if not isinstance(name, str) or not name.strip():
        raise ValueError("the name is no text")
    if not isinstance(arguments, dict):
        raise ValueError("the arguments are no object")
    return Call(name, arguments)


def _bad(text: str, why: str) -> Malformed:
    return Malformed(text.strip()[:SHOWN], why)
