"""Solutions in other styles."""

from collections import Counter

import pytest

from whet.tasks.chain_sum import ChainSum
from whet.tasks.restyled import Restyled, bare, question
from whet.types import Problem

sums = ChainSum()


def loud(problem: Problem) -> str:
    return problem.info["solution"].upper()


def test_only_the_solution_is_another() -> None:
    task = Restyled(sums, {"bare": bare, "loud": loud}, {"bare": 1, "loud": 3})
    for i in range(20):
        plain, styled = sums.problem("train", i), task.problem("train", i)
        assert (styled.id, styled.prompt, styled.answer) == (plain.id, plain.prompt, plain.answer)
        expected = {"bare": plain.answer, "loud": plain.info["solution"].upper()}
        assert styled.info["solution"] == expected[styled.info["style"]]
    assert task.size("train") == sums.size("train")


def test_styles_come_as_often_as_their_shares() -> None:
    task = Restyled(sums, {"bare": bare, "loud": loud}, {"bare": 1, "loud": 3})
    counts = Counter(task.problem("train", i).info["style"] for i in range(1000))
    assert 0.7 < counts["loud"] / 1000 < 0.8


def test_a_share_of_zero_is_never_drawn_and_problems_are_pure() -> None:
    task = Restyled(sums, {"bare": bare, "loud": loud}, {"bare": 0, "loud": 1})
    assert {task.problem("test", i).info["style"] for i in range(50)} == {"loud"}
    assert task.problem("test", 3) == task.problem("test", 3)


@pytest.mark.parametrize(
    "shares", [{}, {"bare": 1}, {"bare": 1, "other": 1}, {"bare": -1, "loud": 2}, {"bare": 0, "loud": 0}]
)
def test_shares_that_do_not_fit_the_styles_are_refused(shares: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"Restyled\.shares"):
        Restyled(sums, {"bare": bare, "loud": loud}, shares)


def test_the_question_may_be_the_solution():
    again = Restyled(sums, {"again": question}, {"again": 1.0})
    for i in range(5):
        problem = again.problem("train", i)
        assert problem.info["solution"] == problem.prompt[0]["content"]  # type: ignore[index]
