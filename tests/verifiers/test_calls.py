from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whet.verifiers.calls import LONGEST, MOST, SHOWN, Call, parse, spoken
from whet.verifiers.strict_json import DEEPEST

ONE = '{"name": "f", "arguments": {"a": 1}}'
TWO = '{"name": "g", "parameters": {}}'
CALLS = [Call("f", {"a": 1}), Call("g", {})]


@pytest.mark.parametrize(
    "text",
    [
        f"<tool_call>{ONE}</tool_call><tool_call>\n{TWO}\n</tool_call>",
        f"<think>so</think>\n<tool_call>\n{ONE}\n{TWO}\n</tool_call>",
        f"I call\n<tool_call>[{ONE}, {TWO}]</tool_call> now",
        '<function=f>{"a": 1}</function> and <function=g> {} </function>',
        f"[TOOL_CALLS] [{ONE}, {TWO}]",
        f" [{ONE}, {TWO}] ",
        f"<|python_tag|>{ONE}\n{TWO}",
        '[{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{\\"a\\": 1}"}}, {"function": '
        '{"name": "g", "arguments": {}}}]',
    ],
)
def test_calls_are_read_in_every_common_format(text: str):
    assert parse(text) == (CALLS, [])


def test_another_style_than_the_one_asked_for_is_not_read():
    assert parse(f"[{ONE}]", "tags") == ([], [])
    assert parse(f"<tool_call>{ONE}</tool_call>", "json") == ([], [])
    with pytest.raises(ValueError, match="style must be one of auto, tags"):
        parse("", "xml")  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", " ", "no call", "[]", "a {} and a []", "</tool_call>"])
def test_a_text_without_calls_has_none_and_nothing_malformed(text: str):
    assert parse(text) == ([], [])


@pytest.mark.parametrize(
    ("inside", "why"),
    [
        ("", "there is nothing in it"),
        ("[]", "there is nothing in it"),
        ("f(a=1)", "Expecting value"),
        ('{"name": "f", "arguments": {"a": 1}', "Expecting ',' delimiter"),
        ("{'name': 'f', 'arguments': {}}", "property name enclosed in double quotes"),
        ('{"name": "f", "arguments": {"a": NaN}}', "NaN is no JSON"),
        ('{"name": "f", "arguments": {"a": -Infinity}}', "-Infinity is no JSON"),
        ('{"name": "f", "arguments": {"a": 1e999}}', "beyond float64"),
        ('{"name": "f", "arguments": {"a": ' + "9" * 5000 + "}}", "beyond float64"),
        ('{"name": "f", "arguments": {"a": 1, "a": 1}}', "a key comes twice"),
        ('{"name": "f", "name": "f", "arguments": {}}', "a key comes twice"),
        ('{"name": "f"}', 'either "arguments" or "parameters"'),
        ('{"name": "f", "arguments": {}, "parameters": {}}', 'either "arguments" or "parameters"'),
        ('{"name": "f", "arguments": {}, "why": 1}', "keys that none has"),
        ('{"name": "f", "arguments": [1]}', "the arguments are no object"),
        ('{"name": "f", "arguments": "x"}', "Expecting value"),
        ('{"name": "", "arguments": {}}', "the name is no text"),
        ('{"name": 1, "arguments": {}}', "the name is no text"),
        ('{"arguments": {}}', "the name is no text"),
        ("1", "a call is an object"),
        ('{"function": "f"}', "a call is an object"),
        ('{"name": "f", "arguments": ' + '{"a":' * 70 + "1" + "}" * 71, "levels deep"),
        ("[" * 50_000, "levels deep"),
        ('{"name": "f", "arguments": {"a": "\x00"}}', "Invalid control character"),
    ],
)
def test_a_malformed_call_is_reported_with_its_reason(inside: str, why: str):
    calls, malformed = parse(f"<tool_call>{inside}</tool_call>")
    assert calls == [] and len(malformed) == 1
    assert why in malformed[0].why and malformed[0].text == inside.strip()[:SHOWN]


def test_sound_calls_before_and_beside_a_malformed_one_are_kept():
    calls, malformed = parse(f"<tool_call>{ONE}\nnonsense\n{ONE}</tool_call><tool_call>{TWO}</tool_call>")
    assert calls == CALLS and [m.text for m in malformed] == [f"nonsense\n{ONE}"]


def test_a_block_that_is_not_closed_is_malformed():
    assert parse(f"<tool_call>{ONE}").malformed[0].why == "<tool_call> is not closed"
    assert parse("<function=f>{}").malformed[0].why == "it is not <function=name>{...}</function>"
    assert len(parse("<function=two words>{}</function>").malformed) == 1


def test_as_many_levels_as_may_be_are_read_and_one_more_is_not():
    def nested(levels: int) -> str:
        return f'{{"name": "f", "arguments": {{"a": {"[" * (levels - 2)}{"]" * (levels - 2)}}}}}'

    assert parse(nested(DEEPEST), "json").malformed == []
    assert "levels deep" in parse(nested(DEEPEST + 1), "json").malformed[0].why


def test_a_call_in_a_thought_is_not_looked_at():
    call = f"<tool_call>{ONE}</tool_call>"
    for text in (
        f"<think>{call}</think>",
        f"<think>{call}",
        f"{call}</think>",
        f"<think><think></think>{call}</think>",
        f"<think>a</think><think>{call}</think> done",
        f"<tool_<think></think>call>{ONE}</tool_call>",
    ):
        assert parse(text, "tags") == ([], [])
    assert parse(f"<think>{call}</think>{call}<think>b</think>{call}").calls == [CALLS[0]] * 2
    assert spoken("a<think>b</think>c<think>d") == "a\nc"


def test_too_many_calls_or_characters_are_one_malformed_text():
    assert len(parse(f"<tool_call>{ONE * MOST}</tool_call>").calls) == MOST
    assert [m.why for m in parse(f"<tool_call>{ONE * (MOST + 1)}</tool_call>").malformed] == ["more than 100 calls"]
    assert "at most 100000 are read" in parse("a" * (LONGEST + 1)).malformed[0].why


@pytest.mark.parametrize(
    "text",
    [
        "<tool_call>" * 9000,
        "<tool_call></tool_call>" * 4000,
        "<think>" * 14000,
        "</think>" * 12000,
        "<think></think>" * 6000,
        "<function=" * 9000,
        "<function=a>" * 8000,
        '<tool_call>"' + '\\"' * 49000,
        "<tool_call>[" + "1," * 49000,
        '<tool_call>{"name":"f","arguments":{"a":"\ud800"}}</tool_call>',
        "[TOOL_CALLS]" * 8000,
        "{" * 99_999,
        '{"a":' * 19_000,
        "\x00" * 1000,
        " " * 99_999,
        "9" * 99_999,
    ],
)
def test_hostile_text_ends_at_once(text: str):
    start = time.process_time()
    for style in ("auto", "tags", "functions", "mistral", "json"):
        parse(text, style)
    assert time.process_time() - start < 0.5


@given(st.text("<>/{}[]\"':,\\ \n_abcfhiklnotu1eINT", max_size=60))
def test_any_text_is_parsed(text: str):
    for style in ("auto", "tags", "functions", "mistral", "json"):
        for body in (text, f"<tool_call>{text}</tool_call>", f"<function=f>{text}</function>", f"[TOOL_CALLS]{text}"):
            parse(body, style)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text('ab<>\\"'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(st.tuples(st.text("fgh", min_size=1), st.dictionaries(st.text("ab"), VALUES)), max_size=4))
def test_calls_come_back_as_they_were_written(calls: list[tuple[str, dict]]):
    written = [json.dumps({"name": name, "arguments": arguments}) for name, arguments in calls]
    meant = [Call(*call) for call in calls]
    assert parse(f"[{', '.join(written)}]", "json") == (meant, [])
    if calls:
        assert parse("<tool_call>" + "\n".join(written) + "</tool_call>", "tags") == (meant, [])
