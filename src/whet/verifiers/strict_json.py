"""JSON read strictly, and what it means for two JSON values to be equal. For the verifier and the rewards alike."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, NoReturn

LONGEST = 100_000  # our choice: characters of a text that is read
DEEPEST = 64  # our choice: arrays and objects inside one another
DIGITS = 310  # characters of a whole number; float64 ends at 1.8e308, which has 309 digits


class NotJson(ValueError):
    """A text that is not one JSON value, or not one that is read here."""


def parse(text: str, longest: int = LONGEST, deepest: int = DEEPEST) -> Any:
    """The value of a text that is one JSON value (RFC 8259) and blank space around it.

    Python's own reader takes more than JSON and less than it should; here NotJson is raised for NaN and Infinity, for a
    key that comes twice in one object, for a number beyond float64, for more than `longest` characters, and for values
    more than `deepest` levels deep (a bare number has 0). Takes time linear in the text, and nothing else is raised.
    """
    if len(text) > longest:
        raise NotJson(f"{len(text)} characters, at most {longest} are read")
    value, stop = value_at(text, skip(text, 0), deepest)
    if skip(text, stop) < len(text):
        raise NotJson("something follows the value")
    return value


def value_at(text: str, start: int, deepest: int = DEEPEST) -> tuple[Any, int]:
    """The JSON value that begins at `start`, and where it ends. NotJson as for `parse`."""
    try:
        value, stop = _DECODER.raw_decode(text, start)
    except RecursionError as error:
        raise NotJson(f"more than {deepest} levels deep") from error
    except ValueError as error:
        raise NotJson(str(error)[:200]) from error
    if deeper(value, deepest):
        raise NotJson(f"more than {deepest} levels deep")
    return value, stop


def skip(text: str, start: int) -> int:
    """Where the blank space from `start` on ends."""
    blank = _BLANK.match(text, start)
    return blank.end() if blank else start


def inner(text: str) -> str:
    """From the first "{" or "[" of a text to the last bracket that closes its kind, for text with prose or a code fence
    around one value; the text itself where there is no such pair."""
    starts = [place for place in (text.find("{"), text.find("[")) if place >= 0]
    start = min(starts, default=0)
    stop = text.rfind("}" if text[start : start + 1] == "{" else "]") + 1
    return text[start:stop] if starts and stop > start else text


def nested(value: Any) -> Any:
    """The value that a string holds as JSON text of its own ("4", "[1, 2]"); anything else as it is."""
    if not isinstance(value, str):
        return value
    try:
        return parse(value)
    except NotJson:
        return value


def equal(a: Any, b: Any) -> bool:
    """Whether two JSON values are the same: 1 is 1.0, true is not 1, the order of keys is free, that of lists counts.
    Strings are compared character by character. Both values must come from `parse`, which bounds their depth."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(equal(value, b[key]) for key, value in a.items())
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(equal(x, y) for x, y in zip(a, b, strict=True))
    return kind(a) == kind(b) and a == b


def kind(value: Any) -> str:
    """A value's type in JSON Schema's words: object, array, string, number, boolean or null."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return {dict: "object", list: "array", str: "string", type(None): "null"}[type(value)]


def is_a(value: Any, type_: str) -> bool:
    """Whether a value has a type of JSON Schema; 1 and 1.0 are integers."""
    if type_ == "integer":
        return kind(value) == "number" and value == math.floor(value)
    return kind(value) == type_


def right_keys(said: Any, meant: Any) -> float:
    """Of two objects: the keys that both have with equal values, as a share of the keys that either has. It is 1 iff
    they are equal. Of other values: 1 if they are equal, else 0."""
    if not (isinstance(said, dict) and isinstance(meant, dict)) or not (said or meant):
        return float(equal(said, meant))
    right = sum(key in said and equal(said[key], value) for key, value in meant.items())
    return right / len(said.keys() | meant.keys())


def token_f1(said: list[Any], meant: list[Any]) -> float:
    """2 n / (n_said + n_meant) with n the tokens that two lists have in common, each as often as both have it.

    The tokens of a list are the words of its strings, in lower case, and its other members whole; their order is free.
    Two empty lists give 1. Source: the F1 of SQuAD (Rajpurkar et al. 2016, arXiv 1606.05250, section 6.1).
    """
    a, b = Counter(_tokens(said)), Counter(_tokens(meant))
    whole = a.total() + b.total()
    return 2 * (a & b).total() / whole if whole else float(said == meant)


def _tokens(members: list[Any]) -> Iterator[str]:
    for member in members:
        if isinstance(member, str):
            yield from member.casefold().split()
        else:
            yield json.dumps(_plain(member), sort_keys=True)


def _plain(value: Any) -> Any:
    """1.0 as 1, wherever it stands, so that equal values are written alike."""
    if isinstance(value, dict):
        return {key: _plain(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_plain(member) for member in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise NotJson("a key comes twice")
    return made


def _constant(name: str) -> NoReturn:
    raise NotJson(f"{name} is no JSON")


def _whole(digits: str) -> int:
    if len(digits) > DIGITS:
        raise NotJson("a number beyond float64")
    number = int(digits)
    _decimal(digits)
    return number


def _decimal(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise NotJson("a number beyond float64")
    return number


def deeper(value: Any, deepest: int) -> bool:
    """Whether arrays and objects lie more than `deepest` levels inside one another; by levels, so without recursion."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(deepest):
        members = (member for held in level for member in (held.values() if isinstance(held, dict) else held))
        level = [member for member in members if isinstance(member, dict | list)]
    return bool(level)


_BLANK = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_int=_whole, parse_float=_decimal)
