"""Written steps of arithmetic, checked against the question."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whet.tasks.chain_sum import ChainSum
from whet.verifiers.gold import BadGold
from whet.verifiers.steps import verify

MOD = "(3*4+5) mod 10=?"


def told(steps: str, question: str) -> str:
    return verify(steps, json.dumps({"question": question}))


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ("3*4=2;2+5=7", "right"),
        ("3*4=2\n2+5=7", "right"),
        (" 3*4=2 ; 2+5=7 ", "right"),
        ("3*4=12;12+5=7", "wrong"),  # the question says modulo 10
        ("3*4=3;3+5=8", "wrong"),
        ("3*4=3;2+5=7", "wrong"),  # one step false, the last one right
        ("4+5=9;3*9=7", "wrong"),  # the product comes first
        ("3*4=2", "wrong"),  # one too few
        ("3*4=2;2+5=7;7+0=7", "wrong"),  # one too many
        ("3*4=2;2+6=8", "wrong"),  # another question's
        ("2+5=7", "wrong"),
        ("", "unparseable"),
        ("  ", "unparseable"),
        ("7", "unparseable"),
        ("3*4=2;2+5=7;", "unparseable"),
        ("so 3*4=2;2+5=7", "unparseable"),
        ("3*4=2;2+5=__import__('os')", "unparseable"),
    ],
)
def test_steps_of_a_question(steps: str, said: str) -> None:
    assert told(steps, MOD) == said


def test_any_order_that_arithmetic_allows_is_right() -> None:
    assert told("1+2=3;3+3=6", "1+2+3=?") == "right"
    assert told("2+3=5;1+5=6", "1+2+3=?") == "right"
    assert told("2+3=5;9-5=4", "9-2+3=?") == "wrong"  # 9-(2+3)
    assert told("9-2=7;7+3=10", "9-2+3=?") == "right"
    assert told("2*3=6;4*5=20;6-20=-14", "2*3-4*5=?") == "right"
    assert told("4*5=20;2*3=6;6-20=-14", "2*3-4*5=?") == "right"
    assert told("3*4=12;2-12=-10", "2-3*4=?") == "right"


def test_a_step_that_fits_in_two_places_may_be_either() -> None:
    first, second = "1+1=2;2+1=3;3+1=4", "1+1=2;1+2=3;3+1=4"
    third = "1+1=2;1+1=2;2+2=4"
    assert [told(steps, "1+1+1+1=?") for steps in (first, second, third)] == ["right"] * 3


@given(st.integers(0, 10**6), st.sampled_from(["+", "+-", "+-*"]), st.sampled_from([0, 7, 10]), st.data())
def test_a_tasks_own_steps_are_right_and_no_longer_so_with_one_result_changed(
    i: int, signs: str, modulus: int, data: st.DataObject
) -> None:
    problem = ChainSum(terms=(2, 6), operators=signs, modulus=modulus).problem("train", i)
    question = problem.prompt[0]["content"]  # type: ignore[index]
    steps = re.search("<think>(.*)</think>", problem.info["solution"])[1].split(";")  # type: ignore[index]
    assert told(";".join(steps), question) == "right"
    k = data.draw(st.integers(0, len(steps) - 1))
    left, result = steps[k].split("=")
    other = (int(result) + data.draw(st.integers(1, 6))) % modulus if modulus else int(result) + 1
    assert told(";".join([*steps[:k], f"{left}={other}", *steps[k + 1 :]]), question) == "wrong"


@pytest.mark.parametrize("gold", ["", "What is 2+2?", "2=?", "(1+1) mod 1=?", "+".join(["1"] * 17) + "=?"])
def test_a_question_of_another_kind_is_our_failure(gold: str) -> None:
    for held in (json.dumps({"question": gold}), json.dumps([gold]), gold):
        with pytest.raises(BadGold):
            verify("1+1=2", held)


def test_long_texts_take_no_time() -> None:
    assert told("1+1=2;" * 100_000 + "1+1=2", "1+1+1=?") == "wrong"
    assert told("1" * 1_000_000, "1+1+1=?") == "unparseable"
    assert told(";".join(["1+1=2"] * 8), "+".join(["1"] * 16) + "=?") == "wrong"
