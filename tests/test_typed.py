"""A value fits an annotation, or it does not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import pytest

from whet.schedule import Count, Linear, Number
from whet.typed import Misfit, below, fit, hints, new_key, say, settable, takes


class Plays(Protocol):
    def play(self) -> None: ...


@dataclass(frozen=True)
class Part:
    size: int = 1
    unknown: Nowhere = None  # type: ignore[name-defined] # noqa: F821


@pytest.mark.parametrize(
    ("annotation", "value", "fitted"),
    [
        (Number, 3, 3.0),
        (Number, Linear(0, 1, 2), Linear(0, 1, 2)),
        (Number | None, None, None),
        (int | float, 3, 3),
        (float | int, 3, 3),
        (list[int], (1, 2), [1, 2]),
        (Sequence[int], [1, 2], (1, 2)),
        (tuple[int, str], [1, "a"], (1, "a")),
        (frozenset[int], [1, 1], frozenset({1})),
        (Mapping[int, float], {"3": 1}, {3: 1.0}),
        (Literal["a", 1], 1, 1),
        (Path | None, "a", Path("a")),
        (Any, {"a": [1]}, {"a": [1]}),
        (Part, Part(2), Part(2)),
        (Plays, Part(), Part()),
        (Callable[[int], int], abs, abs),
    ],
)
def test_what_fits_becomes_what_the_field_wants(annotation: Any, value: Any, fitted: Any):
    made = fit(annotation, value)
    assert made == fitted
    assert type(made) is type(fitted)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (int, True),
        (int, 3.0),
        (float, True),
        (float, "3"),
        (float, 10**400),
        (Count, 1.5),
        (bool, 0),
        (str, 3),
        (Literal["a", 1], True),
        (tuple[int, int], [1]),
        (tuple[int, ...], ["a"]),
        (Mapping[str, int], {"a": "b"}),
        (Part, {"size": 1}),
        (Part, Linear(0, 1, 2)),
        (Plays, 3),
        (Callable[[int], int], 3),
    ],
)
def test_what_does_not_fit_is_a_misfit(annotation: Any, value: Any):
    assert not takes(annotation, value)
    with pytest.raises(Misfit):
        fit(annotation, value)


def test_annotations_are_said_in_words():
    assert say(Number | None) == "a number or null"
    assert say(Mapping[str, int]) == "an object whose entries are a whole number"
    assert say(tuple[str, ...]) == "a list whose items are text"
    assert say(Literal["a", "b"]) == "one of 'a', 'b'"
    assert say(Part | None) == "a component (Part) or null"


def test_the_annotation_of_a_part_comes_from_its_owner():
    assert below(Mapping[str, int] | None, {"a": 1}, "a") is int
    assert below(tuple[int, str], (1, "a"), "1") is str
    assert below(list[Number], [1], "0") == Number
    assert below(Any, {"a": 1}, "a") is Any


def test_an_annotation_that_can_not_be_resolved_is_anything():
    assert hints(Part) == {}
    assert below(Any, Part(), "unknown") is Any


def test_only_a_mapping_of_plain_values_takes_new_keys():
    assert new_key(Mapping[str, Number], "a") == "a"
    assert new_key(dict[int, float], "7") == 7
    for annotation in (Mapping[str, Part], dict, Any, list[int]):
        with pytest.raises(Misfit):
            new_key(annotation, "a")


def test_components_and_functions_are_not_settable_and_schedules_are():
    assert settable(Number, Linear(0, 1, 2))
    assert settable(Part | int | None, None)
    assert not settable(Part | None, None)
    assert not settable(Any, Part())
    assert not settable(tuple[Part, ...], ())
    assert not settable(Any, abs)
