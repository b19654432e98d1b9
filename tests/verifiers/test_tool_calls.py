from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whet.verifiers.calls import Call
from whet.verifiers.gold import BadGold
from whet.verifiers.strict_json import equal
from whet.verifiers.strict_json import parse as parse_json
from whet.verifiers.tool_calls import gold_calls, jaccard, same, share, verify

GOLD = [Call("f", {"a": 1, "b": 2})]


def correct(gold: Sequence[Call], said: Sequence[Call], **options: Any) -> float:
    """R_correct of ToolRL."""
    return 6 * share(gold, said, **options) - 3


def f(**arguments: Any) -> Call:
    return Call("f", arguments)


def written(calls: Sequence[Call]) -> str:
    return json.dumps([{"name": call.name, "arguments": call.arguments} for call in calls])


def test_the_numbers_of_the_paper_for_one_call():
    assert correct(GOLD, GOLD) == 3
    assert correct(GOLD, []) == -3
    assert correct(GOLD, [f(a=1, b=3)]) == 1.5
    assert correct(GOLD, [Call("g", {"a": 1, "b": 2})]) == -3
    assert correct(GOLD, GOLD * 2) == 2.25


def test_missing_and_further_arguments_cost_by_their_names_and_values():
    assert share(GOLD, [f(a=1)]) == (1 + 1 / 2 + 1) / 4
    assert share(GOLD, [f(a=1, b=2, c=3)]) == pytest.approx((1 + 2 / 3 + 2) / 4)
    assert share(GOLD, [f()]) == 1 / 4
    assert share(GOLD, [f(c=1, d=2)]) == 1 / 4


def test_a_call_without_arguments_has_a_largest_score_of_two():
    assert correct([f()], [f()]) == 3
    assert share([f()], [f(a=1)]) == 1 / 2


def test_optimal_and_greedy_matching_differ_for_a_tool_called_twice():
    gold, said = [f(a=1), f(a=2)], [f(a=2), f(a=3)]
    assert correct(gold, said) == pytest.approx(1.8)
    assert correct(gold, said, matching="greedy_gold_order") == pytest.approx(0.6)
    for matching in ("optimal", "greedy_gold_order"):
        assert correct(gold, gold[::-1], matching=matching) == 3  # order does not matter


def test_the_greedy_matching_takes_the_first_of_the_best_and_leaves_what_is_worth_nothing():
    gold = [f(a=1), f(b=1)]
    assert share(gold, [f(b=2), f(a=2)], matching="greedy_gold_order") == 3 / 5  # f(a=1) leaves f(b=2) to f(b=1)
    assert share([f(a=1)], [f(a=2), f(a=3)], matching="greedy_gold_order") == pytest.approx((1 / 2 + 1) / 3)


def test_names_are_compared_as_multisets_so_that_spraying_costs():
    assert jaccard("ffg", "fgg") == 2 / 4
    assert jaccard("", "") == 1 and jaccard("f", "") == 0
    for n in (1, 2, 5, 20):
        assert share(GOLD, GOLD * n) == pytest.approx((1 / n + 3) / 4)
    spray = [Call(name, {}) for name in "ghijklm"]
    assert correct(GOLD, [*GOLD, *spray]) == pytest.approx(6 * (1 / 8 + 3) / 4 - 3)


def test_coarse_is_all_or_nothing():
    assert correct(GOLD, GOLD, detail="coarse") == 3
    for said in ([], GOLD * 2, [f(a=1, b=3)]):
        assert correct(GOLD, said, detail="coarse") == -3
    assert correct([f(a=1), f(a=2)], [f(a=2), f(a=1)], detail="coarse") == 3


def test_whole_takes_name_and_arguments_as_one():
    gold = [f(a=1), Call("g", {"b": 2})]
    assert correct(gold, gold, detail="whole") == 3
    assert correct(gold, [f(a=1), Call("g", {"b": 3})], detail="whole") == 1  # (1 + 1) / 3
    assert correct(GOLD, [f(a=1, b=3)], detail="whole") == 0  # (1 + 0) / 2


def test_without_values_only_names_count():
    assert correct(GOLD, [f(a=7, b=8)], values=False) == 3
    assert correct(GOLD, [f(a=1)], values=False) == -3 + 6 * (1 + 1 / 2) / 2


CALLS = st.lists(
    st.builds(Call, st.sampled_from("fg"), st.dictionaries(st.sampled_from("ab"), st.integers(0, 2), max_size=2)),
    max_size=4,
)


@given(CALLS.filter(bool), CALLS, st.randoms(), st.sampled_from(["fine", "whole", "coarse"]), st.booleans())
def test_the_share_is_bounded_keeps_to_no_order_and_is_1_for_the_gold_only(gold, said, random, detail, values):
    mixed = [list(gold), list(said)]
    for calls in mixed:
        random.shuffle(calls)
    value = share(gold, said, detail, values=values)
    assert 0 <= value <= 1
    assert value == pytest.approx(share(mixed[0], mixed[1], detail, values=values))
    assert value >= share(gold, said, detail, "greedy_gold_order", values) - 1e-12
    assert share(gold, mixed[0], detail, values=values) == 1
    if values:
        assert (value > 1 - 1e-9) == same(gold, said)


@pytest.mark.parametrize(("a", "b"), [("1", "1.0"), ("[1, 2]", "[1.0,2]"), ('{"a": 1, "b": null}', '{"b":null,"a":1}')])
def test_values_are_the_same_as_json(a: str, b: str):
    assert equal(parse_json(a), parse_json(b))


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("1", '"1"'),
        ("1", "true"),
        ("0", "false"),
        ("0", "null"),
        ("[]", "{}"),
        ("[1, 2]", "[2, 1]"),
        ("[1]", "[true]"),
        ('""', "null"),
        ('{"a": 1}', '{"a": 1, "b": 1}'),
        ("9007199254740993", "9007199254740992.0"),
        ('"a"', '"A"'),
    ],
)
def test_other_values_are_not(a: str, b: str):
    assert not equal(parse_json(a), parse_json(b)) and not equal(parse_json(b), parse_json(a))


def test_right_are_the_calls_of_the_gold_in_any_order_and_format():
    gold = written([f(a=1), Call("g", {"b": "x"})])
    assert verify(gold, gold) == "right"
    text = '<tool_call>{"name": "g", "arguments": {"b": "x"}}\n{"name": "f", "parameters": {"a": 1.0}}</tool_call>'
    assert verify(text, gold) == "right"
    assert verify(f"<think>so</think>{text}", gold) == "right"
    assert verify(text, gold, style="json") == "wrong"


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "none",
        "[]",
        written(GOLD * 2),
        written([f(a="1", b=2)]),
        written([f(a=True, b=2)]),
        written([*GOLD, f()]),
        f"<think><tool_call>{written(GOLD)}</tool_call></think>",
        f"I would call {written(GOLD)}",
    ],
)
def test_anything_else_is_wrong(text: str):
    assert verify(text, written(GOLD)) == "wrong"


def test_a_malformed_call_makes_the_answer_unparseable_whatever_else_it_calls():
    right = f"<tool_call>{written(GOLD)}</tool_call>"
    assert verify(right + "<tool_call>{</tool_call>", written(GOLD), graded=True) == ("unparseable", 0)
    assert verify("{", written([])) == "unparseable"


def test_a_gold_without_calls_wants_none():
    assert verify("hello", "[]", graded=True) == ("right", 1)
    assert verify(written(GOLD), "[]", graded=True) == ("wrong", 0)


def test_the_grade_is_the_share():
    assert verify(written([f(a=1, b=3)]), written(GOLD), graded=True) == ("wrong", 0.75)
    assert verify(written([f(a=1, b=3)]), written(GOLD), graded=True, detail="coarse") == ("wrong", 0)
    assert verify(written([f(a=1, b=3)]), written(GOLD), graded=True, values=False) == ("wrong", 1)
    assert verify(written(GOLD), written(GOLD), graded=True) == ("right", 1)


def test_a_gold_may_be_a_worked_reply():
    call = '<tool_call>\n{"name": "f", "parameters": {"a": 1}}\n</tool_call>'
    assert gold_calls(f"<think>so</think>\n{call}\n<response>done</response>") == [f(a=1)]
    assert gold_calls("<think>so</think>\n<response>hello</response>") == []


@pytest.mark.parametrize(
    "gold",
    [
        "",
        "5",
        "hello",
        "{}",
        '[{"name": "f"}]',
        "<tool_call>x</tool_call>",
        "[1]",
        "[] []",
    ],
)
def test_another_gold_is_our_fault(gold: str):
    with pytest.raises(BadGold):
        verify("[]", gold)


def test_unknown_options_are_errors():
    with pytest.raises(ValueError, match="detail must be one of fine, whole, coarse, got 'finest'"):
        verify("", "[]", detail="finest")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="matching must be one of optimal"):
        verify("", "[]", matching="greedy")  # type: ignore[arg-type]
