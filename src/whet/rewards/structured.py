"""Rewards for a response that is to be one JSON object with certain fields and nothing else.

The five of RL-Struct ("RL-Struct: A Lightweight RL Framework for Reliable Structured Output in LLMs"), whose abstract
names what is rewarded and leaves the formulas open: all here are our choice, and so are the weights 1, 1, 1, 1 and 0.5:

    Weighted(
        {"structure": RequiredKeys(), "format": BareObject(), "validity": ValidJson(), "correct": RightField(),
         "length": FieldLength()},
        weights={"length": 0.5},
    )

An object that can not be read loses structure, validity, correct and length at once: JSON is read strictly, by
`verifiers.strict_json.parse`. An empty response gets 0 from each.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from whet.rewards.text import response
from whet.schedule import Count, Number
from whet.types import Group
from whet.verifiers.strict_json import NotJson, equal, is_a, nested, parse, token_f1

TYPES = ("object", "array", "string", "number", "integer", "boolean", "null")

# A key and what its value begins with, for `lenient`. No part can be tried twice, and a key has an end: linear.
_KEY = re.compile(r'"([^"\\\n]{1,64})"[ \t\r\n]*+:[ \t\r\n]*+(["{\[tfn0-9-])?')
_BEGINS = {'"': ("string",), "{": ("object",), "[": ("array",), "t": ("boolean",), "f": ("boolean",), "n": ("null",)}


@dataclass(frozen=True)
class RequiredKeys:
    """value_g = max(0, found_g / R - unexpected * extra_g) with R the number of `required` keys, found_g those that
    attempt g's object has with a value of their type, and extra_g its keys that are not required; 0 where the response
    is no JSON object.

    `required` names for each key a type of JSON Schema; 1.0 is an integer, true is no number. With `lenient`, text that
    can not be read is searched for what looks like keys, and the first character behind each tells its type: partial
    credit for broken JSON, for an ablation only, since a list of keys in prose earns it too.

    Raises ValueError if nothing is required, for an unknown type, and for `unexpected` below 0.
    """

    required: Mapping[str, str] = field(default_factory=lambda: {"reasoning": "string", "answer": "string"})
    unexpected: Number = 0.25
    lenient: bool = False

    def __post_init__(self) -> None:
        if not self.required:
            raise ValueError("RequiredKeys.required is empty; give at least one key and its type")
        for key, type_ in self.required.items():
            if type_ not in TYPES:
                raise ValueError(f"RequiredKeys.required gives {key!r} a type of {', '.join(TYPES)}, got {type_!r}")
        if isinstance(self.unexpected, int | float) and not self.unexpected >= 0:
            raise ValueError(f"RequiredKeys.unexpected is taken off and must be 0 or more, got {self.unexpected}")

    def __call__(self, group: Group) -> Tensor:
        return torch.tensor([self.share(response(trajectory)) for trajectory in group.trajectories])

    def share(self, text: str) -> float:
        try:
            value = parse(text)
        except NotJson:
            return self._score(_scanned(text)) if self.lenient else 0.0
        if not isinstance(value, dict):
            return 0.0
        return self._score({key: [type_ for type_ in TYPES if is_a(held, type_)] for key, held in value.items()})

    def _score(self, types: Mapping[str, Any]) -> float:
        """`types`: of each key that is there, the types that its value has."""
        found = sum(type_ in types.get(key, ()) for key, type_ in self.required.items())
        extra = len(types.keys() - self.required.keys())
        return max(0.0, found / len(self.required) - float(self.unexpected) * extra)


@dataclass(frozen=True)
class BareObject:
    """value_g = 1 if attempt g, without blank space at its ends, begins with "{", ends with "}" and has no code fence
    (three backquotes) anywhere, else 0. Whether what lies between is JSON is not looked at."""

    def __call__(self, group: Group) -> Tensor:
        return torch.tensor([float(self.holds(response(trajectory))) for trajectory in group.trajectories])

    def holds(self, text: str) -> bool:
        text = text.strip()
        return len(text) > 1 and text[0] == "{" and text[-1] == "}" and "```" not in text


@dataclass(frozen=True)
class ValidJson:
    """value_g = 1 if the response is one JSON value, read strictly, else 0. A list, a number or null is valid; NaN, a
    key that comes twice, prose and code fences are not."""

    def __call__(self, group: Group) -> Tensor:
        return torch.tensor([float(_read(response(trajectory)) is not _NONE) for trajectory in group.trajectories])


@dataclass(frozen=True)
class RightField:
    """value_g = 1 if the field `key` of attempt g's object equals the problem's answer, else 0; where the answer is a
    list, `strict_json.token_f1` of the two lists.

    Both sides may be JSON or a text that holds JSON of its own: the field "4", the field 4 and the answer "4" are the
    same, and text that holds none is compared word for word without blank space at its ends. A field whose own JSON is
    broken is not the list that was meant and gets 0; the object around it stays valid.

    Raises ValueError for a problem that has no answer.
    """

    key: str = "answer"

    def __call__(self, group: Group) -> Tensor:
        if group.problem.answer is None:
            raise ValueError(f"problem {group.problem.id!r} has no answer to compare the field {self.key!r} with")
        meant = _meant(group.problem.answer)
        return torch.tensor([self.score(response(trajectory), meant) for trajectory in group.trajectories])

    def score(self, text: str, meant: Any) -> float:
        said = _field(text, self.key)
        if said is _NONE:
            return 0.0
        said = _inside(said)
        if isinstance(meant, list):
            return token_f1(said, meant) if isinstance(said, list) else 0.0
        return float(equal(said, meant))


@dataclass(frozen=True)
class FieldLength:
    """value_g = max(0, 1 - d_g / (w / 2)) with w = most - least, n_g the characters of the string in field `key`, and
    d_g how far n_g lies outside [least, most]: 1 inside, and linearly to 0 within half the width outside.

    0 where there is no such string, where it is blank, which would otherwise be paid for though it says nothing, and,
    if w = 0, for any n_g but `least`. Blank space at the ends is not counted. Lengths are ours: the paper's are not
    known. Raises ValueError unless 0 <= least <= most.
    """

    key: str = "reasoning"
    least: Count = 1
    most: Count = 60

    def __post_init__(self) -> None:
        if isinstance(self.least, int) and isinstance(self.most, int) and not 0 <= self.least <= self.most:
            raise ValueError(f"FieldLength needs 0 <= least <= most, in characters, got {self.least} and {self.most}")

    def __call__(self, group: Group) -> Tensor:
        return torch.tensor([self.score(response(trajectory)) for trajectory in group.trajectories])

    def score(self, text: str) -> float:
        said = _field(text, self.key)
        if not isinstance(said, str) or not said.strip():
            return 0.0
        count, half = len(said.strip()), (self.most - self.least) / 2
        outside = max(self.least - count, count - self.most, 0)
        return max(0.0, 1 - outside / half) if half else float(not outside)


_NONE: Any = object()  # no value at all; None is JSON's null


def _read(text: str) -> Any:
    try:
        return parse(text)
    except NotJson:
        return _NONE


def _field(text: str, key: str) -> Any:
    value = _read(text)
    return value.get(key, _NONE) if isinstance(value, dict) else _NONE


def _inside(value: Any) -> Any:
    """What a field holds: its own JSON where it is a text that has any, else the text without blank space around."""
    held = nested(value)
    return held.strip() if isinstance(held, str) else held


def _meant(answer: Any) -> Any:
    """A problem's answer, given as text or as JSON values."""
    return _inside(answer if isinstance(answer, str) else parse(json.dumps(answer)))


def _scanned(text: str) -> dict[str, tuple[str, ...]]:
    """{key: types that its value may have} of whatever looks like a key, the first of each name."""
    found: dict[str, tuple[str, ...]] = {}
    for key, first in _KEY.findall(text):
        found.setdefault(key, _BEGINS.get(first, ("number", "integer") if first else ()))
    return found
