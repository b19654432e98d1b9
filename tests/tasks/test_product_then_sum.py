"""A product and then a sum, modulo a number."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whet.tasks.product_then_sum import ProductThenSum, question
from whet.tasks.splits import split_of


def test_a_question_by_hand():
    assert question(7, 8, 5) == "7*8+5=?" and question(7, 8, -9) == "7*8-9=?"
    task = ProductThenSum(factors=(7, 7), largest=49)
    problem = next(p for p in (task.problem("train", i) for i in range(999)) if "7*7+1=?" in str(p.prompt))
    assert problem.answer == "0" and problem.info["hint"] == "49"
    assert problem.info["solution"] == "<think>49</think><answer>0</answer>"


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(6, 30), st.integers(2, 49), st.integers(0, 10**6), st.integers(0, 3))
def test_answers_and_hints_are_right_and_never_the_same(low: int, more: int, largest: int, i: int, seed: int):
    problem = ProductThenSum((low, low + more), largest, 50, seed=seed).problem("train", i)
    prompt: Any = problem.prompt
    found = re.fullmatch(r"([0-9]+)\*([0-9]+)([+-][0-9]+)=\?", prompt[0]["content"])
    assert found is not None
    a, b, c = map(int, found.groups())
    assert low <= min(a, b) and max(a, b) <= low + more and 1 <= abs(c) <= largest
    assert int(problem.answer) == (a * b + c) % 50 and int(problem.info["hint"]) == a * b % 50
    assert problem.info["hint"] != problem.answer


def test_a_share_of_the_prompts_has_the_hint_in_a_line_of_its_own():
    for share, least, most in ((0.0, 0, 0), (1.0, 200, 200), (0.5, 70, 130)):
        problems = [ProductThenSum(hinted=share).problem("train", i) for i in range(200)]
        told = [p for p in problems if "\n" in p.prompt[0]["content"]]  # type: ignore[index]
        assert least <= len(told) <= most
        assert all(p.prompt[0]["content"].endswith("=?\n" + p.info["hint"]) for p in told)  # type: ignore[index]


def test_splits_share_no_question_with_hints_or_without():
    for task in (ProductThenSum(), ProductThenSum(hinted=1.0, seed=3)):
        for split in ("train", "test"):
            asked = [task.problem(split, i).prompt[0]["content"].split("\n")[0] for i in range(40)]  # type: ignore[index]
            assert {split_of(text) for text in asked} == {split}


@pytest.mark.parametrize("wrong", [{"largest": 0}, {"largest": 50}, {"factors": 0}, {"hinted": 1.5}])
def test_settings_out_of_range_are_refused(wrong: dict[str, Any]):
    with pytest.raises(ValueError, match=f"ProductThenSum.{next(iter(wrong))}"):
        ProductThenSum(**wrong)
