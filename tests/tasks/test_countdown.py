from __future__ import annotations

import ast
import json
import re
from collections import Counter
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whet.tasks.countdown import Countdown
from whet.verifiers import countdown


def worth(node: ast.AST) -> Fraction:
    match node:
        case ast.Expression(body):
            return worth(body)
        case ast.Constant(int(n)):
            return Fraction(n)
        case ast.BinOp(left, ast.Add(), right):
            return worth(left) + worth(right)
        case ast.BinOp(left, ast.Sub(), right):
            return worth(left) - worth(right)
        case ast.BinOp(left, ast.Mult(), right):
            return worth(left) * worth(right)
        case ast.BinOp(left, ast.Div(), right):
            return worth(left) / worth(right)
    raise AssertionError(ast.dump(node))


@settings(max_examples=60, deadline=None)
@given(
    st.integers(2, 4),
    st.integers(0, 2),
    st.integers(5, 60),
    st.sampled_from(["+-*/", "+-", "*+", "-/+"]),
    st.integers(0, 10**9),
)
def test_the_solution_uses_every_number_once_and_makes_the_target(
    low: int, more: int, largest: int, operators: str, i: int
):
    problem = Countdown((low, low + more), largest, (5, 60), operators).problem("train", i)
    gold = json.loads(problem.answer)
    found = re.fullmatch(r"<think>(.*)</think><answer>(.*)</answer>", problem.info["solution"])
    assert found
    thought, expression = found.groups()
    assert worth(ast.parse(expression, mode="eval")) == gold["target"]
    assert Counter(int(n) for n in re.findall(r"[0-9]+", expression)) == Counter(gold["numbers"])
    assert not set(expression) - set("0123456789()" + operators)
    assert low <= len(gold["numbers"]) <= low + more and 5 <= gold["target"] <= 60
    steps = thought.split(";")
    assert len(steps) == len(gold["numbers"]) - 1 and steps[-1].endswith(f"={gold['target']}")
    for step in steps:
        left, _, right = step.partition("=")
        assert worth(ast.parse(left, mode="eval")) == int(right) > 0


def test_the_verifier_agrees():
    for i in range(300):
        problem = Countdown(count=(2, 6)).problem("test", i)
        expression = problem.info["solution"].partition("<answer>")[2].removesuffix("</answer>")
        assert countdown.verify(expression, problem.answer) == "right"
        assert countdown.verify(expression + "+1", problem.answer) == "wrong"
        told = [text.removeprefix("<answer>").removesuffix("</answer>") for text in problem.info["wrong"]]
        assert len(told) >= 3 and {countdown.verify(text, problem.answer) for text in told} == {"wrong"}


def test_the_prompt_shows_numbers_and_target():
    problem = Countdown().problem("train", 0)
    gold = json.loads(problem.answer)
    given_ = ", ".join(str(n) for n in gold["numbers"])
    prompt: Any = problem.prompt
    assert prompt[0]["content"].startswith(f"Make {gold['target']} from {given_}. ")


def test_a_target_out_of_reach_is_an_error():
    with pytest.raises(ValueError, match="found no expression"):
        Countdown(count=2, largest=3, target=(90, 99)).problem("train", 0)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"count": 1}, "count must be"),
        ({"target": (0, 5)}, "target must be"),
        ({"operators": "^"}, "operators must be some of"),
        ({"largest": 0}, "largest must be at least 1"),
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        Countdown(**wrong)
