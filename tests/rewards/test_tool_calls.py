from __future__ import annotations

import asyncio
import json
import math
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from whet.advantages.group_mean import GroupMean
from whet.contracts import check_reward
from whet.rewards import tool_calls
from whet.rewards.tool_calls import CallFormat, CallMatch
from whet.rewards.verified import Verified
from whet.schedule import Linear, Steps, at
from whet.scoring import Weighted, totals
from whet.types import Group

CALLS = [{"name": "f", "arguments": {"a": 1, "b": 2}}]
RIGHT = '<tool_call>\n{"name": "f", "arguments": {"a": 1, "b": 2}}\n</tool_call>'
HALF = '<tool_call>\n{"name": "f", "arguments": {"a": 1, "b": 3}}\n</tool_call>'
WHOLE = f"<think>so</think>\n{RIGHT}"


def form(group: Group) -> list[float]:
    return CallFormat()(group).values.tolist()


def test_the_paper_s_numbers(texts: Callable[..., Group]):
    other = RIGHT.replace('"f"', '"g"')
    twice = RIGHT.replace("\n</tool_call>", '\n{"name": "f", "parameters": {"a": 1, "b": 2}}\n</tool_call>')
    judged = CallMatch()(texts(WHOLE, "", HALF, other, twice, RIGHT + "<tool_call>{</tool_call>", answer=CALLS))
    assert judged.values.tolist() == [3, -3, 1.5, -3, 2.25, -3]
    assert judged.outcomes == ("right", "wrong", "wrong", "wrong", "wrong", "unparseable")


def test_a_call_without_arguments_and_calls_in_another_order(texts: Callable[..., Group]):
    bare = [{"name": "f", "arguments": {}}]
    assert CallMatch(style="json")(texts(json.dumps(bare), answer=bare)).values.tolist() == [3]
    two = [{"name": "f", "arguments": {"a": 1}}, {"name": "f", "arguments": {"a": 2}}]
    assert CallMatch(style="json")(texts(json.dumps(two[::-1]), answer=two)).values.tolist() == [3]


def test_one_and_one_point_zero_are_the_same_and_a_text_is_not(texts: Callable[..., Group]):
    judged = CallMatch()(texts(RIGHT.replace("1", "1.0"), RIGHT.replace("1", '"1"'), answer=CALLS))
    assert judged.values.tolist() == [3, 1.5]


def test_without_gold_calls_only_the_format_counts(texts: Callable[..., Group]):
    said = ("<think>so</think>\n<response>hello</response>", "hello", WHOLE)
    for answer in ([], "<think>t</think>\n<response>hi</response>"):
        judged = CallMatch()(texts(*said, answer=answer))
        assert judged.values.tolist() == [0, 0, 0] and judged.outcomes == ("right", "right", "wrong")
        assert form(texts(*said, answer=answer)) == [1, 0, 0]


def test_the_fields_are_those_of_the_gold_each_once_and_in_order(texts: Callable[..., Group]):
    response = "<response>done</response>"
    said = (
        WHOLE,
        f"{WHOLE}\n{response}",
        f"<think>so</think>{response}{RIGHT}",
        f"{WHOLE}{RIGHT}",
        RIGHT,
        "",
        response,
    )
    assert form(texts(*said, answer=CALLS)) == [1, 0, 0, 0, 0, 0, 0]
    assert form(texts(*said, answer=f"<think>t</think>{RIGHT}{response}")) == [0, 1, 0, 0, 0, 0, 0]
    assert form(texts(*said, f"<think>t</think>{response}", answer=[])) == [0, 0, 0, 0, 0, 0, 0, 1]


def test_a_malformed_call_still_has_the_form(texts: Callable[..., Group]):
    group = texts("<think>so</think><tool_call>f(1, 2)</tool_call>", answer=CALLS)
    assert form(group) == [1] and CallMatch()(group).values.tolist() == [-3]


def test_quoting_a_call_in_the_thought_earns_nothing(texts: Callable[..., Group]):
    group = texts(f"<think>{RIGHT}</think>", f"<think>{RIGHT}", f"{RIGHT}</think>", answer=CALLS)
    assert form(group) == [0, 0, 0]
    assert CallMatch()(group).values.tolist() == [-3, -3, -3]
    quoted = texts(f"<think>I write <tool_call> now</think>{RIGHT}", answer=CALLS)
    assert form(quoted) == [0] and CallMatch()(quoted).values.tolist() == [3]


def test_a_thought_that_the_template_opened_counts(texts: Callable[..., Group]):
    group = texts(f"so</think>{RIGHT}", answer=CALLS, opened="<think>")
    assert form(group) == [1] and CallMatch()(group).values.tolist() == [3]


@pytest.mark.parametrize("term", [CallFormat(), CallMatch()])
def test_a_gold_that_can_not_be_read_gives_no_verdict(
    texts: Callable[..., Group], term: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(tool_calls, "_warned", [])
    with pytest.warns(RuntimeWarning, match="no verdict on 'task/1'"):
        judged = term(texts(WHOLE, "", answer="5"))
    assert all(math.isnan(value) for value in judged.values.tolist()) and judged.outcomes == ("failed", "failed")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it is said once
        term(texts(WHOLE, answer="6"))
    with pytest.raises(ValueError, match="'task/1' has no answer"):
        term(texts(WHOLE))


def test_variants_are_switches(texts: Callable[..., Group]):
    group = texts(WHOLE, HALF, "", answer=CALLS)
    assert CallMatch("coarse")(group).values.tolist() == [3, -3, -3]
    assert CallMatch("whole")(group).values.tolist() == [3, 0, -3]
    assert CallMatch(values=False)(group).values.tolist() == [3, 3, -3]
    gold = [{"name": "f", "arguments": {"a": n}} for n in (1, 2)]
    said = texts(json.dumps([{"name": "f", "arguments": {"a": n}} for n in (2, 3)]), answer=gold)
    assert CallMatch(style="json")(said).values.tolist() == pytest.approx([1.8])
    assert CallMatch(style="json", matching="greedy_gold_order")(said).values.tolist() == pytest.approx([0.6])


def test_the_reward_stays_in_its_bounds_for_golds_of_any_size(texts: Callable[..., Group]):
    for count in (1, 3, 40):
        gold = [{"name": f"f{n}", "arguments": dict.fromkeys("abcdef"[: n % 7], n)} for n in range(count)]
        spray = [*gold, *({"name": "g", "arguments": {}} for _ in range(50))]
        values = CallMatch(style="json")(texts(json.dumps(gold), json.dumps(spray), "", answer=gold)).values.tolist()
        assert values[0] == 3 and -3 < values[1] < 3 and values[2] == -3


@pytest.mark.parametrize("term", [CallFormat(), CallMatch(), CallMatch("coarse", "greedy_gold_order", style="auto")])
def test_the_terms_keep_the_contract_of_rewards(texts: Callable[..., Group], term: Any):
    check_reward(
        term, [texts(WHOLE, HALF, "", "\ud800\x00<tool_call>" * 99, RIGHT, answer=CALLS), texts("", answer=[])]
    )


def reward(weights: Any = None) -> Weighted:
    return Weighted({"format": CallFormat(), "calls": CallMatch()}, weights or {})


def rewards(weighted: Weighted, group: Group) -> list[float]:
    return totals(asyncio.run(weighted({}, group))).tolist()


def test_both_terms_lie_between_minus_three_and_four(texts: Callable[..., Group]):
    group = texts(WHOLE, RIGHT, "<think>so</think>" + HALF, "", answer=CALLS)
    assert rewards(reward(), group) == [4, 3, 2.5, -3]
    assert rewards(reward({"calls": 1 / 3}), group) == pytest.approx([2, 1, 1.5, -1])  # equal largest values


def test_a_group_in_which_all_are_perfect_has_no_advantage(texts: Callable[..., Group]):
    scored = asyncio.run(reward()({}, texts(*[WHOLE] * 4, answer=CALLS)))
    assert totals(scored).tolist() == [4] * 4
    assert all(not tokens.any() for tokens in GroupMean()([scored]).advantages[0])


def test_scales_may_change_in_two_steps_or_smoothly_from_format_to_correctness(texts: Callable[..., Group]):
    group = texts(WHOLE, RIGHT, answer=CALLS)
    steps = reward({"format": Steps(1.0, {30: 0.5}), "calls": Steps(1 / 3, {30: 1.0})})
    smooth = reward({"format": Linear(2.0, 1.0, 150), "calls": Linear(2 / 3, 1.0, 150)})
    for weighted, step, expected in [
        (steps, 0, [2, 1]),
        (steps, 29, [2, 1]),
        (steps, 30, [3.5, 3]),
        (smooth, 0, [4, 2]),
        (smooth, 75, [4, 2.5]),
        (smooth, 150, [4, 3]),
        (smooth, 999, [4, 3]),
    ]:
        assert rewards(at(weighted, step), group) == pytest.approx(expected)


def test_the_verifier_grades_from_its_worker(texts: Callable[..., Group]):
    term = Verified("tool_calls", extract="all", options={"graded": True})
    judged = asyncio.run(term(texts(WHOLE, HALF, "", "<tool_call>", answer=CALLS)))
    assert judged.values.tolist() == [1, 0.75, 0, 0]
    assert judged.outcomes == ("right", "wrong", "unparseable", "unparseable")


@pytest.mark.parametrize("wrong", [{"style": "xml"}, {"detail": "finest"}, {"matching": "best"}])
def test_senseless_settings_are_refused(wrong: dict[str, Any]):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be one of"):
        CallMatch(**wrong)
