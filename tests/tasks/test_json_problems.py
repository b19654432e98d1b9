"""Word problems that are answered by a JSON object."""

from __future__ import annotations

import json
import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whet.contracts import check_task
from whet.models.tiny import character_tokenizer
from whet.tasks.json_problems import GAINS, JsonProblems, with_fault
from whet.types import Problem


def numbers(problem: Problem) -> list[int]:
    """What the question says, with the sign of its words."""
    told = str(problem.prompt[-1]["content"])  # type: ignore[index]
    first, *changes = re.findall(r"(\w+) (\d+)", told)
    return [int(first[1]), *(int(n) if word in GAINS else -int(n) for word, n in changes)]


def test_a_problem_is_one_line_and_its_solution_an_object():
    problem = JsonProblems().problem("train", 1)
    assert problem.prompt == [{"role": "user", "content": "Ann has 3 nuts, loses 2, gives 1."}]
    assert problem.info["solution"] == '{"reasoning":"3-2=1;1-1=0","answer":"0"}'
    assert (problem.answer, problem.info["broken"]) == ("0", "")


@given(st.integers(1, 4), st.integers(1, 30), st.integers(0, 10_000))
def test_every_step_is_right_and_nothing_falls_below_0(steps: int, largest: int, i: int):
    problem = JsonProblems(steps=(2, 2 + steps), largest=3 + largest).problem("train", i)
    told, solution = numbers(problem), json.loads(problem.info["solution"])
    assert list(solution) == ["reasoning", "answer"] and solution["answer"] == problem.answer == str(sum(told))
    total = told[0]
    for step, change in zip(solution["reasoning"].split(";"), told[1:], strict=True):
        assert step == f"{total}{change:+d}={total + change}" and total + change >= 0
        total += change


def test_prompt_and_object_are_57_to_76_characters_which_are_as_many_tokens():
    problems = [JsonProblems().problem("train", i) for i in range(2000)]
    texts = [str(p.prompt[0]["content"]) + p.info["solution"] for p in problems]  # type: ignore[index]
    assert (min(map(len, texts)), max(map(len, texts))) == (57, 76)
    tokenizer = character_tokenizer()
    assert all(len(tokenizer(text)["input_ids"]) == len(text) for text in texts[:50])


def test_the_asked_share_is_broken_in_each_way_alike_and_nothing_else_changes():
    whole, broken = JsonProblems(), JsonProblems(broken=0.35)
    pairs = [(whole.problem("train", i), broken.problem("train", i)) for i in range(3000)]
    found = Counter(b.info["broken"] for _, b in pairs)
    assert found.total() - found[""] == pytest.approx(0.35 * 3000, rel=0.08)
    assert all(found[fault] == pytest.approx(0.35 * 1000, rel=0.15) for fault in ("brace", "prose", "key"))
    for a, b in pairs:
        assert (a.prompt, a.answer) == (b.prompt, b.answer)
        assert b.info["solution"] == with_fault(a.info["solution"], b.info["broken"])


def test_faults_are_a_missing_brace_words_in_front_and_another_key():
    text = '{"reasoning":"1+1=2","answer":"2"}'
    assert with_fault(text, "brace") == '{"reasoning":"1+1=2","answer":"2"'
    assert with_fault(text, "prose") == 'Sure: {"reasoning":"1+1=2","answer":"2"}'
    assert with_fault(text, "key") == '{"reasoning":"1+1=2","result":"2"}'
    assert with_fault(text, "") == text


def test_splits_share_no_calculation():
    asked = {
        s: {tuple(numbers(JsonProblems().problem(s, i))) for i in range(500)} for s in ("train", "validation", "test")
    }
    assert not asked["train"] & asked["test"] and not asked["train"] & asked["validation"]
    assert not asked["validation"] & asked["test"]
    other = {tuple(numbers(JsonProblems(broken=1.0, seed=3).problem("test", i))) for i in range(500)}
    assert not asked["train"] & other


def test_it_keeps_the_promises_of_a_task():
    check_task(JsonProblems(broken=0.5))


@pytest.mark.parametrize(
    ("settings", "says"),
    [({"steps": 0}, "steps"), ({"steps": (2, 1)}, "steps"), ({"largest": 0}, "largest"), ({"broken": 1.5}, "share")],
)
def test_wrong_settings_are_errors(settings: dict, says: str):
    with pytest.raises(ValueError, match=says):
        JsonProblems(**settings)
