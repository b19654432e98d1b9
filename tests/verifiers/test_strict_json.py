"""JSON read strictly, equality of its values, and shares of what is right."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whet.verifiers.strict_json import (
    DEEPEST,
    LONGEST,
    NotJson,
    equal,
    inner,
    is_a,
    nested,
    parse,
    right_keys,
    token_f1,
)

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(st.text(max_size=3), inside, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_what_python_writes_is_read_back_and_equals_itself(value: Any):
    assert equal(parse(json.dumps(value)), value) and equal(parse(f" \n{json.dumps(value, indent=1)}\t"), value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "NaN",
        "Infinity",
        "-Infinity",
        '{"a":NaN}',
        '{"a":1,"a":2}',
        '{"b":[{"a":1,"a":1}]}',
        '{"a":1,"\\u0061":2}',
        '{"a":1',
        '{"a":1,}',
        "[1,]",
        "{'a':1}",
        "{a:1}",
        "// no\n1",
        "1 2",
        "{}{}",
        "```json\n{}\n```",
        "Sure: {}",
        "01",
        "+1",
        ".5",
        "1.",
        "0x1",
        "1_000",
        "١",
        "True",
        "None",
        "\ufeff1",
        "\u00a01",
        '"a\nb"',
        '"\x00"',
        '"\\x"',
        '"\\ud8"',
        "\x00",
        "\ud800",
        "1e999",
        "-1e999",
        "9" * 310,
        "9" * 5000,
        "9" * LONGEST,
        "[" * LONGEST,
        '{"a":' * 16_000,
        "[" * (DEEPEST + 1) + "]" * (DEEPEST + 1),
        "[" * 900 + "]" * 900,
        '"\\"' * 20_000,
        '"' * LONGEST,
        '"a" ' * 20_000,
        " " * (LONGEST + 1),
        "1" + " " * LONGEST,
    ],
)
def test_what_is_not_strictly_json_is_refused_at_once(text: str):
    start = time.process_time()
    with pytest.raises(NotJson):
        parse(text)
    assert time.process_time() - start < 0.5


@pytest.mark.parametrize("text", ["[" * DEEPEST + "]" * DEEPEST, "9" * 308, "-1.7e308", '"\\ud800"', '"\\u0000"', "-0"])
def test_what_lies_just_within_the_limits_is_read(text: str):
    parse(text)


def test_depth_counts_levels_and_width_does_not():
    assert parse("1", deepest=0) == 1
    assert parse('[{"a":1},{},[]]', deepest=2) == [{"a": 1}, {}, []]
    for text, deepest in (("[]", 0), ("[[]]", 1), ('{"a":[1]}', 1)):
        with pytest.raises(NotJson):
            parse(text, deepest=deepest)
    assert len(parse("[" + "[]," * 30_000 + "[]]")) == 30_001


def test_numbers_are_equal_by_value_and_booleans_are_no_numbers():
    assert equal(1, 1.0) and equal(parse("1e2"), 100) and equal(-0.0, 0)
    assert not equal(True, 1) and not equal(0, False) and not equal([True], [1]) and not equal("1", 1)
    assert not equal(2**53 + 1, float(2**53)) and not equal(None, False) and not equal([], {})
    assert equal({"a": [1], "b": None}, {"b": None, "a": [1.0]}) and not equal([1, 2], [2, 1])
    assert not equal({"a": 1}, {"a": 1, "b": 1}) and not equal({"a": 1}, {"b": 1})


@given(VALUES, VALUES)
def test_equality_has_no_sides_and_full_marks_are_equality(a: Any, b: Any):
    assert equal(a, a) and equal(a, b) == equal(b, a)
    assert (right_keys(a, b) == 1) == equal(a, b)
    assert right_keys(a, b) == right_keys(b, a)


def test_a_key_is_right_by_its_value_and_a_key_too_many_is_not():
    meant = {"a": 1, "b": [1, 2]}
    assert right_keys({"b": [1.0, 2], "a": 1}, meant) == 1
    assert right_keys({"a": 1, "b": [2, 1]}, meant) == 0.5
    assert right_keys({"a": 1}, meant) == 0.5
    assert right_keys({**meant, "c": 0, "d": 0}, meant) == 0.5
    assert right_keys({}, meant) == right_keys([], meant) == right_keys({}, []) == 0
    assert right_keys({}, {}) == right_keys(3, 3.0) == 1


def test_types_are_those_of_json_schema():
    assert is_a(1.0, "integer") and is_a(1, "number") and not is_a(1.5, "integer")
    assert not is_a(True, "integer") and not is_a(True, "number") and is_a(True, "boolean")
    assert is_a(None, "null") and is_a({}, "object") and is_a([], "array") and is_a("", "string")


def test_token_f1_counts_tokens_as_often_as_both_have_them():
    assert token_f1(["red", "Green"], ["green", "red"]) == 1
    assert token_f1(["a", "b"], ["a", "c"]) == 0.5
    assert token_f1(["a", "a"], ["a"]) == pytest.approx(2 / 3)
    assert token_f1(["new york"], ["York"]) == pytest.approx(2 / 3)
    assert token_f1([1, 2.0, True], [1.0, 2, True]) == 1 and token_f1([True], [1]) == 0
    assert token_f1([[1.0]], [[1]]) == 1
    assert token_f1([], []) == 1 and token_f1([], ["a"]) == token_f1(["a"], []) == 0


def test_what_is_inside_a_text_is_found():
    assert inner('Sure:\n```json\n{"a":[1]}\n``` ok') == '{"a":[1]}'
    assert inner("so [1, {}] it is") == "[1, {}]" and inner("7") == "7" and inner("") == "" and inner("}{") == "}{"
    assert nested("[1]") == [1] and nested("[1") == "[1" and nested(3) == 3 and nested("NaN") == "NaN"
