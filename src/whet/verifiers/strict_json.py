"""JSON that a model wrote, read strictly, and when two values are the same."""

from __future__ import annotations

import json
import math
import re
from typing import Any

DEEPEST = 20  # our choice: lists and objects inside one another

_BLANK = re.compile(r"[ \t\r\n]*")
_TOO_DEEP = f"more than {DEEPEST} lists and objects inside one another"


def strict(text: str) -> Any:
    """The one JSON value that `text` is.

    ValueError, which says why, if it is none, has NaN or Infinity, a number that no float holds or of thousands of
    digits, a key twice in one object, or more than DEEPEST lists and objects inside one another.
    """
    value, at = value_at(text, skip(text, 0))
    if skip(text, at) < len(text):
        raise ValueError("something follows the JSON value")
    return value


def value_at(text: str, at: int) -> tuple[Any, int]:
    """The JSON value that begins at `at`, and where it ends. ValueError as for `strict`."""
    try:
        value, end = _DECODER.raw_decode(text, at)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    level = _nested([value])
    for _ in range(DEEPEST):
        level = _nested([inner for one in level for inner in (one.values() if isinstance(one, dict) else one)])
    if level:
        raise ValueError(_TOO_DEEP)
    return value, end


def skip(text: str, at: int) -> int:
    """Where the blank space from `at` on ends."""
    match = _BLANK.match(text, at)
    return match.end() if match else at


def equal(a: Any, b: Any) -> bool:
    """Whether two JSON values are the same: 1 and 1.0 are, "1" and 1 are not, true and 1 are not."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, int | float) and isinstance(b, int | float):
        return a == b
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(equal, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(equal(value, b[key]) for key, value in a.items())
    return type(a) is type(b) and a == b


def _nested(values: list[Any]) -> list[Any]:
    return [value for value in values if isinstance(value, dict | list)]


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("a key comes twice in one object")
    return made


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("a number is too large")
    return value


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_once, parse_float=_finite, parse_constant=_constant)
