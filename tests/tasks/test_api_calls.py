from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whet.models.tiny import TinyQwen
from whet.rewards.tool_calls import CallFormat, CallMatch
from whet.stages.sft import worked
from whet.tasks.api_calls import TOOLS, WORDS, ApiCalls
from whet.types import Group, Problem, Trajectory, Turn
from whet.verifiers.tool_calls import verify

SAID = "what is turkish for tree and convert 10 yards to miles"
SOLUTION = """<think>translate convert</think>
<tool_call>
{"name":"translate","parameters":{"word":"tree","language":"turkish"}}
{"name":"convert","parameters":{"amount":10,"unit":"yards","into":"miles"}}
</tool_call>"""


def said(problem: Problem) -> str:
    prompt: Any = problem.prompt
    return prompt[0]["content"]


def calls(problem: Problem) -> list[dict[str, Any]]:
    return json.loads(problem.answer)


def keys(split: str, count: int) -> set[str]:
    return {json.dumps(call) for i in range(count) for call in calls(ApiCalls().problem(split, i))}


def test_a_request_and_its_solution_by_hand():
    problem = ApiCalls().problem("train", 1)
    assert said(problem) == SAID
    assert problem.info["solution"] == SOLUTION


def test_what_is_told_to_be_wrong_has_one_mistake_each():
    problem = ApiCalls().problem("train", 1)
    made = problem.info["wrong"]
    left_out, twice, renamed, *changed = (text.splitlines()[2:-1] for text in made)
    assert [len(left_out), len(twice), len(renamed)] == [1, 3, 2] and '"name":"timer"' in renamed[1]
    assert changed[0][1] == '{"name":"convert","parameters":{"unit":"yards","into":"miles"}}'
    assert changed[1][1] == '{"name":"convert","parameters":{"amount":1,"unit":"yards","into":"miles"}}'
    assert changed[2][1] == '{"name":"convert","parameters":{"amount":"10","unit":"yards","into":"miles"}}'
    assert len(changed) == 9 and not any(verify(text, problem.answer) == "right" for text in made)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(["train", "validation", "test"]), st.integers(0, 10**6))
def test_the_solution_is_right_and_its_arguments_fit_the_schemas(split: str, i: int):
    problem = ApiCalls().problem(split, i)
    assert 1 <= len(calls(problem)) <= 2
    assert verify(problem.info["solution"], problem.answer, "tags") == "right"
    schemas = {tool["function"]["name"]: tool["function"]["parameters"] for tool in problem.info["tools"]}
    assert len(schemas) == 8
    for call in calls(problem):
        jsonschema.validate(call["arguments"], {**schemas[call["name"]], "additionalProperties": False})
        for value in call["arguments"].values():
            word = {"True": "on", "False": "off"}.get(str(value), str(value))
            assert re.search(rf"\b{word}\b", said(problem))


def test_the_gold_scores_full_and_any_part_of_it_less():
    for i in range(30):
        problem = ApiCalls(calls=2).problem("test", i)
        solution = problem.info["solution"]
        texts = [solution, solution.replace('"name":"', '"name":"x'), "<think>a</think>", ""]
        group = Group(problem, tuple(Trajectory(problem, (), (Turn("policy", text, 0, 0, 1),)) for text in texts))
        assert CallFormat()(group).values.tolist() == [1, 1, 0, 0]
        assert CallMatch()(group).values.tolist() == [3, -3, -3, -3]


def test_what_a_tool_is_asked_for_in_test_was_never_asked_for_in_training():
    train, test = keys("train", 3000), keys("test", 3000)
    assert not train & test and not keys("validation", 500) & (train | test)
    for asked in (train, test):
        assert {json.loads(call)["name"] for call in asked} == set(TOOLS)


def test_every_value_of_the_test_was_seen_in_training_in_another_combination():
    def values(asked: set[str]) -> set[str]:
        return {json.dumps(value) for call in asked for value in json.loads(call)["arguments"].values()}

    assert values(keys("test", 1000)) <= values(keys("train", 3000))


def test_one_and_two_calls_are_asked_for_alike_often_and_two_differ():
    counts = Counter(len(calls(ApiCalls().problem("train", i))) for i in range(400))
    assert 150 < counts[1] < 250
    for i in range(200):
        made = calls(ApiCalls(calls=2).problem("test", i))
        assert len({json.dumps(call) for call in made}) == len(made)


def test_every_word_is_one_token():
    codec = TinyQwen(width=32, layers=1, heads=2, kv_heads=1, context=512, tokenizer="word", words=WORDS).build(0).codec
    for i in range(50):
        problem = ApiCalls().problem("train", i)
        assert set(re.findall(r"\w+", said(problem) + problem.info["solution"])) <= set(WORDS)
        trajectory = worked(codec, problem, 512)
        assert len(trajectory.rows[0]) <= 150


@pytest.mark.parametrize("wrong", [0, (2, 1), (0, 1)])
def test_wrong_settings_are_refused(wrong: Any):
    with pytest.raises(ValueError, match="calls must be"):
        ApiCalls(calls=wrong)
    with pytest.raises(ValueError, match="no split"):
        ApiCalls().problem("dev", 0)
