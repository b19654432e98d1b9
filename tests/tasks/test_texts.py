"""Tasks without a right answer: texts to go on with, in a small English or in numbers."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from whet.tasks.lexicon import BAD, DEGREES, GOOD, PLAIN, THINGS, WORDS
from whet.tasks.numbers import Numbers
from whet.tasks.reviews import Reviews
from whet.types import Problem

TASKS = (Numbers(), Reviews())


def said(problem: Problem) -> str:
    prompt: Any = problem.prompt
    return prompt[0]["content"]


def words(text: str) -> list[str]:
    return text.replace(".", " ").split()


def test_no_word_stands_twice_in_the_lexicon():
    assert len(set(WORDS)) == len(WORDS)
    assert set(WORDS) > {*THINGS, *GOOD, *BAD, *PLAIN, *DEGREES}


@pytest.mark.parametrize("task", TASKS, ids=lambda task: type(task).__name__)
def test_every_text_is_made_of_words_of_the_lexicon_or_numbers(task: Any):
    for i in range(50):
        problem = task.problem("train", i)
        assert all(word in WORDS or word.isdigit() for word in words(said(problem) + " " + problem.info["solution"]))


def test_numbers_go_on_rising_as_often_as_asked():
    for rising, low, high in ((1.0, 1.0, 1.0), (0.7, 0.8, 0.92), (0.0, 0.4, 0.6)):
        rises = []
        for i in range(100):
            problem = Numbers(rising=rising, step=5).problem("train", i)
            numbers = [int(word) for word in (said(problem) + " " + problem.info["solution"]).split()]
            assert len(numbers) == 12 and numbers[0] < numbers[1] <= 499 and all(1 <= n <= 999 for n in numbers)
            rises += [a < b for a, b in pairwise(numbers[1:])]
        assert low <= sum(rises) / len(rises) <= high


def test_reviews_are_as_glad_as_asked():
    for good, bad in ((1.0, 0.0), (0.0, 1.0), (0.3, 0.3)):
        opinions = []
        for i in range(200):
            solution = Reviews(good=good, bad=bad).problem("train", i).info["solution"]
            assert solution.count(".") == 2 and solution.endswith(".")
            opinions += [word for word in words(solution) if word in {*GOOD, *BAD, *PLAIN}]
        for share, known in ((good, GOOD), (bad, BAD)):
            assert sum(word in known for word in opinions) / len(opinions) == pytest.approx(share, abs=0.06)


@pytest.mark.parametrize(
    ("make", "wrong"),
    [
        (Numbers, {"count": 0}),
        (Numbers, {"largest": 3}),
        (Numbers, {"step": 0}),
        (Numbers, {"rising": 1.5}),
        (Reviews, {"sentences": 0}),
        (Reviews, {"good": 0.7, "bad": 0.5}),
        (Reviews, {"good": -0.1}),
    ],
)
def test_numbers_out_of_range_are_refused(make: Any, wrong: dict[str, float]):
    with pytest.raises(ValueError, match=f"{make.__name__}."):
        make(**wrong)
