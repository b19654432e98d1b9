"""Which column of a table is what: found by name where nobody says it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# Column names of published problem sets (GSM8K, MATH, AIME, BIG-Bench), the likelier first; upper and lower case alike.
PROMPTS = ("question", "problem", "prompt", "input", "query", "instruction")
ANSWERS = ("answer", "final_answer", "target", "solution", "gold", "expected_answer", "output", "label")

# The layout of verl: chat messages in "prompt", and who rewards what in "reward_model".
VERL = ("prompt", "reward_model")
VERL_ANSWER = "reward_model.ground_truth"
VERL_SOLUTION = "extra_info.answer"  # where its GSM8K and MATH keep the worked solution


@dataclass(frozen=True)
class Columns:
    """Where a row's prompt, answer ("": it has none) and worked solution stand. A path "a.b" is the part b of a."""

    prompt: str
    answer: str
    solution: str = "solution"


def find_columns(first: Mapping[str, Any], prompt: str, answer: str | None, where: str, needed: bool = True) -> Columns:
    """The columns that were given, or ("", None) the first likely one that the row `first` has.

    A row with the columns of verl has its answer in `reward_model.ground_truth`. An answer that nobody `needed` and
    that can not be found is "". ValueError where a column can not be told, with those there are.
    """
    verl = all(name in first for name in VERL) and prompt in ("", "prompt")
    if verl and answer is None:
        return Columns("prompt", VERL_ANSWER, VERL_SOLUTION)
    prompt = prompt or _likely(first, PROMPTS, where, "--prompt")
    if answer is None:
        answer = _likely(first, ANSWERS, where, "--answer", needed, taken=prompt)
    return Columns(prompt, answer)


def lookup(record: Mapping[str, Any], column: str) -> Any:
    """What a row holds in a column, or under a path of names with dots. KeyError where there is no such thing."""
    if column in record:
        return record[column]
    held: Any = record
    for name in column.split("."):
        if not isinstance(held, Mapping) or name not in held:
            raise KeyError(column)
        held = held[name]
    return held


def missing(record: Mapping[str, Any], column: str) -> str:
    """The words for a column that a row lacks: "no column 'x'; its columns are a, b.c; did you mean 'b.c'?"."""
    known = list(_paths(record))
    near = difflib.get_close_matches(column, known, 1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"no column {column!r}; its columns are {', '.join(known)}{hint}"


def _likely(
    first: Mapping[str, Any], likely: Sequence[str], where: str, option: str, needed: bool = True, taken: str = ""
) -> str:
    there = {name.lower(): name for name in first if name != taken}
    for name in likely:
        if name in there:
            return there[name]
    if not needed:
        return ""
    raise ValueError(f"{where}: which column is it? the columns are {', '.join(_paths(first))}; say it with {option}")


def _paths(record: Mapping[str, Any], before: str = "") -> list[str]:
    """The columns, those of nested ones as paths."""
    out: list[str] = []
    for name, value in record.items():
        nested = isinstance(value, Mapping) and bool(value)
        out += _paths(value, f"{before}{name}.") if nested else [f"{before}{name}"]
    return out
