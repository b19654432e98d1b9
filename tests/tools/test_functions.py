from __future__ import annotations

import pickle
from enum import Enum
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whet.tools.functions import Functions, schema
from whet.verifiers.calls import Call, Malformed, parse


def weather(city: str, day: Literal["today", "tomorrow"] = "today", hours: list[int] | None = None) -> str:
    """The weather of a day.

    Args:
        city: Where.
        day: When.
        hours: Which hours; all of them without.
    """
    return f"sun in {city} {day} {hours}"


def add(a: int, b: float) -> float:
    """Adds two numbers.

    Args:
        a: The first.
        b: The second.
    """
    return a + b


class Colour(Enum):
    RED = "red"


def paint(colour: Colour) -> dict:
    """Paints.

    Args:
        colour: Which.
    """
    return {"painted": str(colour), "größe": None}


def fails(how: str) -> Any:
    """Fails.

    Args:
        how: In which way.
    """
    if how == "exit":
        raise SystemExit(3)
    if how == "deep":
        return fails(how)
    if how == "long":
        return "x" * 3000
    if how == "object":
        return {1}
    if how == "nan":
        return float("nan")
    raise ValueError(f"no {how}" * 500)


TOOLS = Functions((weather, add, paint, fails))


def called(name: str, **arguments: Any) -> str:
    return TOOLS(Call(name, arguments))


def test_a_schema_is_made_of_signature_and_docstring():
    assert schema(weather) == {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "The weather of a day.",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string", "description": "Where."},
                    "day": {"type": "string", "enum": ["today", "tomorrow"], "description": "When."},
                    "hours": {
                        "type": "array",
                        "items": {"type": "integer"},
                        "nullable": True,
                        "description": "Which hours; all of them without.",
                    },
                },
                "required": ["city"],
            },
        },
    }
    assert TOOLS.schemas[0] == schema(weather)
    TOOLS.schemas[0]["function"].clear()
    assert TOOLS.schemas[0] == schema(weather)


def test_a_call_gives_its_result_as_text():
    assert called("weather", city="oslo") == "sun in oslo today None"
    assert called("weather", city="oslo", day="tomorrow", hours=[1, 2]) == "sun in oslo tomorrow [1, 2]"
    assert called("weather", city="oslo", hours=None) == "sun in oslo today None"
    assert called("add", a=1, b=2) == "3" and called("add", a=1.0, b=0.5) == "1.5"
    assert called("paint", colour="red") == '{"painted": "red", "größe": null}'
    assert called("fails", how="object") == "{1}" and called("fails", how="nan") == "NaN"


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        ("wether", {}, "there is no tool 'wether'; there are weather, add, paint, fails"),
        ("weather", {}, "weather: 'city' is a required property"),
        ("weather", {"city": "a", "wind": 1}, "weather: Additional properties are not allowed ('wind' was unexpected)"),
        ("weather", {"city": 1}, "weather: city: 1 is not of type 'string'"),
        ("weather", {"city": "a", "day": "monday"}, "weather: day: 'monday' is not one of ['today', 'tomorrow']"),
        ("weather", {"city": "a", "hours": [1, "b"]}, "weather: hours.1: 'b' is not of type 'integer'"),
        ("add", {"a": True, "b": 1}, "add: a: True is not of type 'integer'"),
        ("add", {"a": 1.5, "b": 1}, "add: a: 1.5 is not of type 'integer'"),
        ("add", {"a": "1", "b": 1}, "add: a: '1' is not of type 'integer'"),
        ("paint", {"colour": "RED"}, "paint: colour: 'RED' is not one of ['red']"),
        ("fails", {"how": "exit"}, "fails raised SystemExit: 3"),
        ("fails", {"how": "deep"}, "fails raised RecursionError: maximum recursion depth exceeded"),
        ("fails", {"how": "long"}, "fails gave 3000 characters, and at most 2000 are shown"),
    ],
)
def test_whatever_is_wrong_is_said_in_words(name: str, arguments: dict[str, Any], says: str):
    said = TOOLS(Call(name, arguments))
    assert said.startswith("error: ") and said.removeprefix("error: ").startswith(says)


def test_an_error_is_short_and_any_tokenizer_takes_it():
    assert len(called("fails", how="x" * 1000)) < 300
    assert len(called("n" * 100_000)) < 300 and len(called("add", a="n" * 100_000, b=1)) < 300
    assert called("weather", city="\ud800\x00") == "sun in ?\x00 today None"
    assert called("\ud800").isprintable()


def test_a_malformed_call_gets_its_reason():
    [malformed] = parse("<tool_call>{</tool_call>").malformed
    assert TOOLS(malformed).startswith("error: this call can not be read: Expecting property name")
    assert TOOLS(Malformed("x", "y")) == "error: this call can not be read: y"


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=4)


@given(st.sampled_from(["weather", "add", "paint", "none"]), st.dictionaries(st.sampled_from(["city", "a", "b"]), JSON))
def test_no_call_raises(name: str, arguments: dict[str, Any]):
    assert isinstance(TOOLS(Call(name, arguments)), str)


def test_they_can_be_pickled():
    assert pickle.loads(pickle.dumps(TOOLS))(Call("add", {"a": 1, "b": 2})) == "3"


def bare(a: int) -> int:
    return a


def untyped(a) -> int:
    """Says.

    Args:
        a: What.
    """
    return a


def starred(*a: int) -> int:
    """Says.

    Args:
        a: What.
    """
    return a[0]


async def later() -> int:
    """Waits."""
    return 1


def undescribed(a: int, b: int) -> int:
    """Says.

    Args:
        a: What.
    """
    return a + b


def odd(a: Functions) -> int:
    """Says.

    Args:
        a: What.
    """
    return 1


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (bare, "'bare' needs type hints and a docstring"),
        (untyped, "'untyped' needs type hints"),
        (undescribed, "'undescribed' needs type hints and a docstring with Args"),
        (odd, "custom class"),
        (starred, "arguments are given by name"),
        (later, "'later' is a coroutine function"),
        (lambda: 1, "a function with a name"),
    ],
)
def test_a_function_without_what_a_schema_needs_is_refused(function: Any, says: str):
    with pytest.raises(ValueError, match=says):
        Functions((function,))


def test_other_wrong_settings_are_refused():
    with pytest.raises(ValueError, match="two functions of one name; rename one of add, add"):
        Functions((add, add))
    with pytest.raises(ValueError, match="longest must be at least 1"):
        Functions((add,), longest=0)
