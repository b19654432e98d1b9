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
    return prompt[0]["content"].removeprefix("^").removesuffix("$")


def test_a_worked_sum_by_hand():
    assert LetterSum()._solve("kTb") == (["^k0+0=0;", "kT5+0=5;", "Tb1+5=6;", "b$"], 6)
    assert LetterSum()._solve("zj") == (["^z5+0=5;", "zj9+5=4;", "j$"], 4)
    assert LetterSum(modulus=7)._solve("hi") == (["^h0+0=0;", "hi1+0=1;", "i$"], 1)


def test_letters_come_from_the_alphabet_and_count_by_their_place_in_it():
    assert LetterSum(alphabet="Tkb", letters=2)._solve("bT") == (["^b2+0=2;", "bT0+2=2;", "T$"], 2)
    task = LetterSum(5, alphabet="vwxyz")
    assert {frozenset(said(task.problem("test", i))) for i in range(10)} == {frozenset("vwxyz")}


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 26), st.integers(0, 26), st.sampled_from([2, 7, 10]), st.integers(0, 10**6))
def test_answers_and_solutions_are_right(low: int, more: int, modulus: int, i: int):
    problem = LetterSum((low, low + more), modulus).problem("train", i)
    letters = said(problem)
    assert low <= len(letters) <= low + more and len(set(letters)) == len(letters)
    assert int(problem.answer) == sum(LETTERS.index(letter) % modulus for letter in letters) % modulus
    found = re.fullmatch(r"<think>(.*);(.)\$</think><answer>(\d)</answer>", problem.info["solution"])
    assert found and found[2] == letters[-1] and found[3] == problem.answer
    total, before = 0, "^"
    for letter, step in zip(letters, found[1].split(";"), strict=True):
        value = LETTERS.index(letter) % modulus
        assert step == f"{before}{letter}{value}+{total}={(total + value) % modulus}"
        total, before = (total + value) % modulus, letter


def test_a_step_is_eight_tokens_and_a_letter_of_the_prompt_one():
    codec = TinyQwen(width=32, layers=1, heads=2, kv_heads=1).build(0).codec
    for count in (1, 24, 48):
        trajectory = worked(codec, LetterSum(count).problem("train", 0), 1000)
        assert int((~trajectory.rows[0].trained).sum()) == count + 4  # ^ and $, and who speaks, twice
        assert int(trajectory.rows[0].trained.sum()) == 8 * count + 8  # b$ <think> </think> <answer> 6 </answer> EOS


def test_any_eight_tokens_of_the_steps_hold_a_letter_and_a_sum():
    """So that whatever was carried over says where to go on, and with what."""
    steps = "".join(LetterSum()._solve(said(LetterSum().problem("train", 3)))[0])
    for start in range(len(steps) - 7):
        part = steps[start : start + 8]
        assert re.search("[a-zA-Z]", part) and re.search(r"[+=]\d|\d;", part)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"letters": 53}, "at most 52 different ones, got 53"),
        ({"letters": 0}, "letters must be a number or a range"),
        ({"letters": (5, 3)}, "letters must be a number or a range"),
        ({"modulus": 1}, "modulus must be at least 2"),
        ({"alphabet": "abc", "letters": 4}, "at most 3 different ones, got 4"),
        ({"alphabet": "abca", "letters": 2}, "alphabet must be different characters"),
        ({"alphabet": "ab7", "letters": 2}, "alphabet must be different characters"),
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        LetterSum(**wrong)
