"""Several problems at once."""

from __future__ import annotations

from typing import Any

import pytest

from whet.tasks.side_by_side import SideBySide
from whet.tasks.string_functions import StringFunctions
from whet.types import Problem

single = StringFunctions(depth=1, piped=True, functions=("reverse",))


def said(problem: Problem) -> str:
    prompt: Any = problem.prompt
    return prompt[0]["content"]


def test_each_is_thought_of_in_turn_and_the_last_is_answered():
    problem = SideBySide(single, 2).problem("train", 0)
    first, second = (asked.removesuffix(">reverse") for asked in said(problem).split(","))
    thought = f"{first}>reverse={first[::-1]},{second}>reverse={second[::-1]}"
    assert problem.info["solution"] == f"<think>{thought}</think><answer>{second[::-1]}</answer>"
    assert problem.answer == second[::-1] and len(problem.info["problems"]) == 2
    piped = SideBySide(single, 2, separator=">").problem("train", 0)
    assert said(piped) == said(problem).replace(",", ">")
    assert piped.info["solution"] == str(problem.info["solution"]).replace(",", ">")


def test_one_alone_is_the_problem_itself_and_their_number_varies():
    task = SideBySide(single, (1, 3))
    counts = [said(task.problem("test", i)).count(",") + 1 for i in range(60)]
    assert set(counts) == {1, 2, 3}
    alone = task.problem("test", counts.index(1))
    assert alone.info["solution"].count(">reverse=") == 1 and task.size("test") is None


def test_problems_of_a_split_are_of_that_split():
    train = {said(single.problem("train", i)) for i in range(300)}
    for i in range(30):
        assert not train & set(said(SideBySide(single, 3).problem("test", i)).split(","))


def test_tasks_that_can_not_be_joined_are_refused():
    class Plain:
        def size(self, split: str) -> int | None:
            return None

        def problem(self, split: str, i: int) -> Problem:
            return Problem("plain", "1+1=", "2", {"solution": "<think>1+1</think>"})

    class Silent(Plain):
        def problem(self, split: str, i: int) -> Problem:
            return Problem("silent", [{"role": "user", "content": "1+1="}], "2")

    with pytest.raises(ValueError, match="joins prompts of one message"):
        SideBySide(Plain(), 2).problem("train", 0)
    with pytest.raises(ValueError, match="joins the thoughts of worked solutions"):
        SideBySide(Silent()).problem("train", 0)


def test_fewer_than_one_are_refused():
    with pytest.raises(ValueError, match=r"SideBySide\.count must be"):
        SideBySide(single, 0)
