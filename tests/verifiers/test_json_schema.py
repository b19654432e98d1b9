"""A JSON value, the wanted one or one that fits a schema."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whet.verifiers.gold import BadGold
from whet.verifiers.json_schema import verify
from whet.verifiers.pool import Pool

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "minLength": 1}, "age": {"type": "integer", "minimum": 0}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


def gold(**parts: Any) -> str:
    return json.dumps(parts)


@pytest.mark.parametrize("text", ['{"a":1,"b":[1,2]}', ' {"b":[1.0,2],\n"a":1e0} '])
def test_an_equal_value_is_right(text: str):
    assert verify(text, gold(value={"a": 1, "b": [1, 2]})) == "right"


@pytest.mark.parametrize(
    "text", ['{"a":true,"b":[1,2]}', '{"a":1,"b":[2,1]}', '{"a":1}', '{"a":1,"b":[1,2],"c":0}', "1", "null"]
)
def test_another_value_is_wrong(text: str):
    assert verify(text, gold(value={"a": 1, "b": [1, 2]})) == "wrong"


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        '{"a":1',
        '{"a":1,"a":1}',
        '{"a":NaN}',
        '```json\n{"a":1}\n```',
        'Sure: {"a":1}',
        '{"a":1} {"a":1}',
        "[" * 50_000,
        "9" * 50_000,
        "x" * 1_000_000,
        '{"a":1}\x00',
        "\ud800",
        "__import__('os')",
    ],
)
def test_what_is_no_json_is_unparseable_at_once(text: str):
    start = time.process_time()
    assert verify(text, gold(value={"a": 1})) == "unparseable"
    assert verify(text, gold(value={"a": 1}), grade=True) == ("unparseable", 0.0)
    assert time.process_time() - start < 0.5


def test_what_stands_around_is_passed_over_only_where_that_is_asked_for():
    said = 'Sure:\n```json\n{"a": 1}\n```\nDone.'
    assert verify(said, gold(value={"a": 1}), around=True) == "right"
    assert verify(said, gold(value={"a": 2}), around=True) == "wrong"
    assert verify('{"a": 2} or {"a": 1}', gold(value={"a": 1}), around=True) == "unparseable"


def test_a_grade_is_the_share_of_keys_that_are_right():
    meant = gold(value={"a": 1, "b": 2})
    assert verify('{"b":2,"a":1}', meant, grade=True) == ("right", 1.0)
    assert verify('{"a":1,"b":3}', meant, grade=True) == ("wrong", 0.5)
    assert verify('{"a":1,"b":2,"c":3,"d":4}', meant, grade=True) == ("wrong", 0.5)
    assert verify("[]", meant, grade=True) == ("wrong", 0.0)


def test_a_schema_says_what_fits():
    fits = gold(schema=PERSON)
    assert verify('{"age": 3, "name": "Ann"}', fits) == "right"
    assert verify('{"age": 3.0, "name": "Ann"}', fits, grade=True) == ("right", 1.0)
    for text in (
        '{"age": 3}',
        '{"age": true, "name": "Ann"}',
        '{"age": 3, "name": ""}',
        '{"age":3,"name":"A","x":1}',
        "[]",
    ):
        assert verify(text, fits, grade=True) == ("wrong", 0.0)


def test_with_both_the_value_must_equal_and_fit():
    both = gold(value={"name": "Ann", "age": 3}, schema=PERSON)
    assert verify('{"age": 3, "name": "Ann"}', both) == "right"
    assert verify('{"age": 4, "name": "Ann"}', both, grade=True) == ("wrong", 0.5)


def test_a_schema_may_recur_as_deep_as_an_answer_goes():
    tree = {"type": "array", "items": {"$ref": "#"}}
    assert verify("[[],[[]]]", gold(schema=tree)) == "right" and verify("[[],[1]]", gold(schema=tree)) == "wrong"
    assert verify("[" * 64 + "]" * 64, gold(schema=tree)) == "right"
    heavy: dict[str, Any] = {"items": {"$ref": "#"}}
    for _ in range(20):
        heavy = {"allOf": [heavy]}
    assert verify("[" * 6 + "]" * 6, gold(schema=heavy)) == "right"
    assert verify("[" * 60 + "]" * 60, gold(schema=heavy)) == "wrong"  # the stack is used up by the answer, not by us


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "7",
        "[]",
        "{}",
        '{"valu": 1}',
        '{"value": NaN}',
        '{"value": 1, "value": 2}',
        '{"value": 1, "schema": {"type": "string"}}',
        '{"schema": 3}',
        '{"schema": {"type": "strin"}}',
        '{"schema": {"pattern": "("}}',
        '{"schema": {"$schema": 3}}',
        '{"schema": {"$ref": "#"}}',
        '{"schema": {"$ref": "#/$defs/none"}}',
        '{"schema": {"$ref": "http://["}}',
        '{"schema": {"$id": "http://[", "$ref": "x"}}',
    ],
)
def test_another_gold_is_our_fault(bad: str):
    with pytest.raises(BadGold):
        verify("{}", bad)


@pytest.mark.parametrize("where", ["http://127.0.0.1:9/a.json", "https://example.org/a.json", "file:///etc/hostname"])
def test_nothing_is_fetched(where: str, monkeypatch: pytest.MonkeyPatch):
    import socket

    monkeypatch.setattr(socket, "socket", None)  # whoever opens one fails in another way
    with pytest.raises(BadGold, match="nothing is fetched"):
        verify("{}", gold(schema={"$ref": where}))


def test_a_published_draft_is_at_hand():
    draft = gold(schema={"$ref": "https://json-schema.org/draft/2020-12/schema"})
    assert verify('{"type": "object"}', draft) == "right" and verify('{"type": "objekt"}', draft) == "wrong"
    assert (
        verify("{}", gold(schema={"$schema": "http://json-schema.org/draft-07/schema#", "type": "object"})) == "right"
    )


def test_a_pattern_or_a_ladder_of_references_without_end_costs_the_deadline_and_no_more():
    pool = Pool(workers=1, deadline=0.5)
    pattern = gold(schema={"pattern": "^(a+)+$"})
    ladder = {f"l{i}": {"allOf": [{"$ref": f"#/$defs/l{i + 1}"}] * 2} for i in range(40)}
    ladder = gold(schema={"properties": {"a": {"$ref": "#/$defs/l0"}}, "$defs": {**ladder, "l40": {}}})
    try:
        pairs = [(json.dumps("a" * 60 + "!"), pattern), ('{"a":1}', ladder), ('"aaa"', pattern), ('{"b":1}', ladder)]
        assert [v.outcome for v in pool.check_now("json_schema", pairs)] == ["timed out", "timed out", "right", "right"]
        circle = gold(schema={"$ref": "#"})
        assert [v.outcome for v in pool.check_now("json_schema", [("1", circle)])] == ["failed"]
        (graded,) = pool.check_now("json_schema", [('{"a":1}', gold(value={"a": 1, "b": 2}))], grade=True)
        assert (graded.outcome, graded.value) == ("wrong", 0.5)
    finally:
        pool.close()


def test_a_value_needs_no_library_and_a_schema_names_the_extra(monkeypatch: pytest.MonkeyPatch):
    import sys

    monkeypatch.setitem(sys.modules, "jsonschema", None)
    assert verify("1", gold(value=1)) == "right"
    with pytest.raises(ImportError, match=r"whet\[schema\]"):
        verify("1", gold(schema={"type": "integer", "title": "never seen before"}))


@given(st.text())
def test_any_text_gets_a_verdict(text: str):
    for meant in (gold(value={"a": 1}), gold(schema=PERSON)):
        assert verify(text, meant, around=True) in ("right", "wrong", "unparseable")


@given(
    st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=3) | st.booleans(), min_size=1, max_size=5),
    st.data(),
)
def test_the_order_of_keys_and_blank_space_are_free(value: dict[str, Any], data: st.DataObject):
    turned = dict(data.draw(st.permutations(list(value.items()))))
    meant = gold(value=value)
    assert verify(json.dumps(turned, indent=2), meant) == "right"
    turned[data.draw(st.sampled_from(list(turned)))] = [None]
    assert verify(json.dumps(turned), meant) == "wrong"
