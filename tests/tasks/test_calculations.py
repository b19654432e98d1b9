"""One line of arithmetic, by hand or by code."""

from __future__ import annotations

import asyncio
import re
import shutil
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whet.tasks.calculations import ERRORS, Calculations, by_hand, coded
from whet.tasks.splits import split_of
from whet.tools.interpreter import Interpreter

needs_sandbox = pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")


def question(task: Calculations, i: int, split: str = "train") -> str:
    prompt: Any = task.problem(split, i).prompt
    return prompt[0]["content"].removesuffix("=?")


def test_what_is_worked_by_hand():
    assert by_hand(123, "*", 456) == "<think>738+6150+49200</think><answer>56088</answer>"
    assert by_hand(873, "%", 45) == "<think>855</think><answer>18</answer>"
    assert by_hand(34, "+", 7) == "<answer>41</answer>"


def test_a_bug_comes_back_and_is_mended():
    said = [(m["role"], m["content"]) for m in coded(12, "*", 34, 408, "{a}{sign}x")]
    assert said == [
        ("assistant", "<code>print(12*x)</code>"),
        (None, "<interpreter>NameError: name 'x' is not defined</interpreter>"),
        ("assistant", "<code>print(12*34)</code>"),
        (None, "<interpreter>408</interpreter>"),
        ("assistant", "<answer>408</answer>"),
    ]


@settings(max_examples=60, deadline=None)
@given(st.sampled_from("+*%"), st.integers(0, 10**6), st.sampled_from([0.0, 1.0]))
def test_answers_are_right_and_end_every_solution(sign: str, i: int, code: float):
    task = Calculations((10, 999), (2, 99), sign, code)
    a, b = map(int, re.split(r"[+*%]", question(task, i)))
    problem = task.problem("train", i)
    assert int(problem.answer) == {"+": a + b, "*": a * b, "%": a % b}[sign]
    solution = problem.info["solution"]
    assert isinstance(solution, str) == (code == 0)
    last = solution if isinstance(solution, str) else solution[-1]["content"]
    assert last.endswith(f"<answer>{problem.answer}</answer>")
    thought = re.fullmatch(r"<think>(.*)</think>.*", last)
    if thought:
        assert sum(map(int, thought[1].split("+"))) == (a * b if sign == "*" else a - a % b)


def test_about_half_is_coded_and_a_fifth_of_that_has_a_bug():
    solutions = [Calculations().problem("train", i).info["solution"] for i in range(2000)]
    code = [s for s in solutions if not isinstance(s, str)]
    assert len(code) / 2000 == pytest.approx(0.5, abs=0.04)
    assert sum(len(s) == 5 for s in code) / len(code) == pytest.approx(0.2, abs=0.05)


@needs_sandbox
def test_what_the_traces_say_is_what_the_interpreter_says():
    async def run(messages: Any) -> list[tuple[str, str | None]]:
        session = Interpreter(longest=48).session()
        return [
            (told["content"], await session(m["content"])) for m, told in pairwise(messages) if told["role"] is None
        ]

    for sign in "+*%":
        for bug in ("", *ERRORS):
            for a, b in ((123, 45), (7, 999)):
                messages = coded(a, sign, b, {"+": a + b, "*": a * b, "%": a % b}[sign], bug)
                checked = asyncio.run(run(messages))
                assert len(checked) == (2 if bug else 1)
                assert all(told == heard for told, heard in checked)


def test_how_it_is_worked_does_not_change_what_is_asked_and_splits_share_no_question():
    plain, coded_ = Calculations(code=0.0), Calculations(code=1.0)
    assert [question(plain, i) for i in range(20)] == [question(coded_, i) for i in range(20)]
    for split in ("train", "test"):
        assert {split_of(question(Calculations(signs="+*%", seed=3), i, split)) for i in range(40)} == {split}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"first": 0}, r"Calculations\.first must be a number or a range"),
        ({"second": (9, 2)}, r"Calculations\.second must be a number or a range"),
        ({"signs": "/"}, "signs must be some of"),
        ({"signs": ""}, "signs must be some of"),
        ({"code": 1.5}, r"Calculations\.code is a probability"),
        ({"bugs": -0.1}, r"Calculations\.bugs is a probability"),
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        Calculations(**wrong)
