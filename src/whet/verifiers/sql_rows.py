"""When two results of SQL are the same."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Any, Literal

from whet.verifiers.sql_database import Row

Rule = Literal["set", "multiset", "strict"]

_EXACT = 2**128  # our choice: whole numbers beyond are compared as text; engines have at most 128 bits


def same(found: Sequence[Row], wanted: Sequence[Row], rule: str, ordered: bool, tolerance: float) -> bool:
    """Whether two results are equal by the `rule` of `sql.verify`; `ordered`: their order counts, if "strict".

    Numbers are compared by value. Where one is no whole number, neighbours in the sorted list of all numbers of both
    results are made one if |a - b| <= tolerance * max(1, |a|, |b|), so that no rounding edge parts two numbers that
    are close. Two empty results are equal.
    """
    said = [tuple(_cell(cell) for cell in row) for row in found]
    meant = [tuple(_cell(cell) for cell in row) for row in wanted]
    if rule == "set":
        said, meant = list(set(said)), list(set(meant))
    elif len(said) != len(meant):
        return False
    if tolerance:
        one = _merged([cell for row in (*said, *meant) for cell in row if isinstance(cell, (int, float))], tolerance)
        said, meant = ([tuple(one.get(cell, cell) for cell in row) for row in rows] for rows in (said, meant))
    if rule == "set":
        return set(said) == set(meant)
    if rule == "strict" and ordered:
        return said == meant
    return Counter(said) == Counter(meant)


def _cell(value: Any) -> Any:
    """A value that compares by what it is: True is 1, a decimal is a number, NaN equals NaN. What is no number, text or
    NULL is its type with its text."""
    if value is None or isinstance(value, (str, bytes)):
        return value
    if isinstance(value, Decimal):
        value = int(value) if value.is_finite() and value == value.to_integral_value() else float(value)
    if isinstance(value, int):
        return int(value) if abs(value) < _EXACT else ("number", hex(value))
    if isinstance(value, float):
        return ("number", "nan") if math.isnan(value) else value
    return (type(value).__name__, repr(value))


def _merged(numbers: list[int | float], tolerance: float) -> dict[int | float, int | float]:
    """{number: the one that stands for it}; {} where all are whole."""
    kept = sorted({number for number in numbers if math.isfinite(number)})
    if all(float(number).is_integer() for number in kept):
        return {}
    one = {number: number for number in kept}
    for a, b in pairwise(kept):
        inexact = not (float(a).is_integer() and float(b).is_integer())
        if inexact and b - a <= tolerance * max(1.0, abs(a), abs(b)):
            one[b] = one[a]
    return one
