from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whet.models.tiny import TinyQwen
from whet.stages.sft import worked
from whet.tasks.letter_sum import LETTERS, LetterSum
from whet.types import Problem


def said(problem: Problem) -> str:
    prompt: Any = problem.prompt
    return prompt[0]["content"]


def test_a_worked_sum_by_hand():
    assert LetterSum()._solve("kTb") == (["k0+0=0;", "T5+0=5;", "b1+5=6;"], 6)
    assert LetterSum()._solve("zj") == (["z5+0=5;", "j9+5=4;"], 4)
    assert LetterSum(modulus=7)._solve("hi") == (["h0+0=0;", "i1+0=1;"], 1)


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 26), st.integers(0, 26), st.sampled_from([2, 7, 10]), st.integers(0, 10**6))
def test_answers_and_solutions_are_right(low: int, more: int, modulus: int, i: int):
    problem = LetterSum((low, low + more), modulus).problem("train", i)
    letters = said(problem)
    assert low <= len(letters) <= low + more and len(set(letters)) == len(letters)
    assert int(problem.answer) == sum(LETTERS.index(letter) % modulus for letter in letters) % modulus
    found = re.fullmatch(r"<think>(.*);</think><answer>(\d)</answer>", problem.info["solution"])
    assert found and found[2] == problem.answer
    total = 0
    for letter, step in zip(letters, found[1].split(";"), strict=True):
        value = LETTERS.index(letter) % modulus
        assert step == f"{letter}{value}+{total}={(total + value) % modulus}"
        total = (total + value) % modulus


def test_a_step_is_seven_tokens_and_a_letter_of_the_prompt_one():
    codec = TinyQwen(width=32, layers=1, heads=2, kv_heads=1).build(0).codec
    for count in (1, 24, 48):
        trajectory = worked(codec, LetterSum(count).problem("train", 0), 1000)
        assert int((~trajectory.rows[0].trained).sum()) == count + 2  # and who speaks, twice
        assert int(trajectory.rows[0].trained.sum()) == 7 * count + 6  # and <think> </think> <answer> 7 </answer> EOS


def test_any_seven_tokens_of_the_steps_hold_a_letter_and_a_sum():
    """So that whatever was carried over says where to go on, and with what."""
    steps = "".join(LetterSum()._solve(said(LetterSum().problem("train", 3)))[0])
    for start in range(len(steps) - 6):
        part = steps[start : start + 7]
        assert re.search("[a-zA-Z]", part) and re.search(r"[+=]\d", part)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"letters": 53}, "at most 52 different ones, got 53"),
        ({"letters": 0}, "letters must be a number or a range"),
        ({"letters": (5, 3)}, "letters must be a number or a range"),
        ({"modulus": 1}, "modulus must be at least 2"),
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        LetterSum(**wrong)
