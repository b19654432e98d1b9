from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whet.schedule import Linear, at
from whet.tasks.chain_sum import ChainSum
from whet.types import Problem

DIGITS = re.compile(r"[0-9]+")


def said(problem: Problem) -> str:
    prompt: Any = problem.prompt
    return prompt[0]["content"]


def value_of(question: str) -> int:
    """The answer by another way: Python's own arithmetic on text that holds digits and signs only."""
    sum_, _, modulus = question.removesuffix("=?").partition(" mod ")
    assert re.fullmatch(r"[0-9+*()-]+", sum_)
    return eval(sum_) % int(modulus) if modulus else eval(sum_)


def test_a_worked_sum_by_hand():
    solved = ChainSum(operators="+-*")._solve([3, 4, 2, 5], ["+", "*", "-"])
    assert solved == (["4*2=8", "3+8=11", "11-5=6"], 6)
    assert ChainSum(modulus=7)._solve([6, 5, 9], ["+", "-"]) == (["6+5=4", "4-9=2"], 2)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(2, 5),
    st.integers(0, 3),
    st.integers(2, 200),
    st.sampled_from([0, 2, 7, 10, 97]),
    st.sampled_from(["+", "+-", "+-*", "*-"]),
    st.integers(0, 10**6),
)
def test_answers_and_solutions_are_right(low: int, more: int, largest: int, modulus: int, operators: str, i: int):
    task = ChainSum((low, low + more), largest, modulus, operators)
    problem = task.problem("train", i)
    assert int(problem.answer) == value_of(said(problem))
    found = re.fullmatch(r"<think>(.*)</think><answer>(.*)</answer>", problem.info["solution"])
    assert found
    thought, answer = found.groups()
    assert answer == problem.answer
    steps = thought.split(";")
    question = said(problem).partition(" mod ")[0]
    assert len(steps) == len(DIGITS.findall(question)) - 1
    for step in steps:
        left, _, right = step.partition("=")
        assert int(right) == (eval(left) % modulus if modulus else eval(left))
    assert steps[-1].endswith(f"={problem.answer}")


def test_terms_and_operands_stay_in_range():
    numbers = [[int(n) for n in DIGITS.findall(said(ChainSum((2, 4), 12).problem("train", i)))] for i in range(300)]
    assert {len(ns) for ns in numbers} == {2, 3, 4}
    assert {n for ns in numbers for n in ns} == set(range(1, 13))


def test_without_steps_there_is_the_answer_alone():
    problem = ChainSum(shown=0.0).problem("train", 0)
    assert problem.info["solution"] == f"<answer>{problem.answer}</answer>"


def test_the_size_may_be_a_schedule():
    task = ChainSum(largest=Linear(9, 99, 10))
    assert at(task, 10) == ChainSum(largest=99.0)
    assert at(task, 10).problem("train", 3) == ChainSum(largest=99).problem("train", 3)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"terms": 1}, "terms must be a number or a range"),
        ({"terms": (3, 2)}, "terms must be a number or a range"),
        ({"largest": 0}, "largest must be at least 1, got 0"),
        ({"modulus": 1}, "modulus must be 0"),
        ({"operators": "+/"}, "operators must be some of"),
        ({"operators": ""}, "operators must be some of"),
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        ChainSum(**wrong)


def test_a_share_of_the_solutions_shows_its_steps():
    problems = [ChainSum((3, 3), shown=0.25).problem("train", i) for i in range(400)]
    shown = [p for p in problems if "<think>" in p.info["solution"]]
    assert abs(len(shown) / 400 - 0.25) < 0.08
    bare = next(p for p in problems if p not in shown)
    assert bare.info["solution"] == f"<answer>{bare.answer}</answer>"


def test_a_share_outside_its_range_is_refused():
    with pytest.raises(ValueError, match="shown is a share"):
        ChainSum(shown=1.5)
