"""Long multiplication by one digit."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whet.tasks.products import Products, parts
from whet.tasks.splits import split_of


def test_a_worked_product_by_hand():
    assert parts(34, 7) == ["28", "210"] and parts(30, 7) == ["0", "210"] and parts(8, 9) == ["72"]
    assert parts(205, 3) == ["15", "0", "600"]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 300), st.integers(0, 700), st.integers(1, 9), st.integers(0, 10**6), st.integers(0, 3))
def test_answers_and_solutions_are_right(low: int, more: int, second: int, i: int, seed: int):
    problem = Products((low, low + more + 20), (1, second + 3), seed).problem("train", i)
    prompt: Any = problem.prompt
    a, b = map(int, re.fullmatch(r"([0-9]+)\*([0-9]+)=\?", prompt[0]["content"]).groups())  # type: ignore[union-attr]
    assert low <= a <= low + more + 20 and 1 <= b <= second + 3
    assert int(problem.answer) == a * b
    found = re.fullmatch(r"<think>(.*)</think><answer>(.*)</answer>", problem.info["solution"])
    assert found and found[2] == problem.answer
    assert sum(map(int, found[1].split("+"))) == a * b and len(found[1].split("+")) == len(str(a))


def test_splits_share_no_question_whatever_the_ranges():
    for task in (Products(), Products((20, 50), 7, seed=3)):
        for split in ("train", "test"):
            asked = [task.problem(split, i).prompt[0]["content"] for i in range(40)]  # type: ignore[index]
            assert {split_of(question) for question in asked} == {split}


def test_ranges_that_are_none_are_refused():
    with pytest.raises(ValueError, match=r"Products\.first must be a number or a range"):
        Products(first=0)
    with pytest.raises(ValueError, match=r"Products\.second must be a number or a range"):
        Products(second=(9, 2))
    with pytest.raises(ValueError, match="no split 'dev'"):
        Products().problem("dev", 0)
