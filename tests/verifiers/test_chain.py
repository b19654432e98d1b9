"""Where a chain of sums first goes wrong."""

import pytest

from whet.tasks.chain_sum import ChainSum
from whet.verifiers.chain import first_wrong

ASKED = "4+5-6=?"


@pytest.mark.parametrize(
    ("reply", "wrong"),
    [
        ("<think>4+5=9;9-6=3</think><answer>3</answer>", None),
        ("<think>4+5=8;8-6=2</think><answer>2</answer>", "8;8-6"),  # the result of the first step
        ("<think>4+5=9;9-6=2</think><answer>2</answer>", "2</think>"),
        ("<think>4+5=9;8-6=2</think><answer>2</answer>", "8-6"),  # it does not go on from the result
        ("<think>4+5=9;9+6=15</think><answer>15</answer>", "+6"),
        ("<think>4+5=9;9-5=4</think><answer>4</answer>", "5=4"),
        ("<think>4+5=9;9-6=3;3-1=2</think><answer>2</answer>", "-1"),  # the question is over
        ("<think>4+5=9</think><answer>9</answer>", "9</answer>"),  # it stops too early
        ("<answer>4", "4"),
        ("<answer>3</answer>9-6=4", None),
        ("<think>4+5=8;8-6=3</think><answer>3</answer>", "8;8-6"),  # right by two errors
        ("hm", None),
        ("", None),
    ],
)
def test_the_first_number_or_sign_that_is_wrong(reply: str, wrong: str | None) -> None:
    found = first_wrong(ASKED, reply)
    assert found is None if wrong is None else reply[found or 0 :].startswith(wrong)


def test_negative_numbers_are_read() -> None:
    assert first_wrong("1-5-2=?", "<think>1-5=-4;-4-2=-6</think><answer>-6</answer>") is None
    assert first_wrong("1-5-2=?", "<think>1-5=4") == len("<think>1-5=")


def test_no_solution_of_the_task_is_wrong() -> None:
    task = ChainSum(terms=(2, 6))
    for i in range(50):
        problem = task.problem("train", i)
        assert first_wrong(str(problem.prompt[0]["content"]), problem.info["solution"]) is None  # type: ignore[index]


@pytest.mark.parametrize("question", ["4*5=?", "(1+2) mod 3=?", "4=?", "say 1"])
def test_other_questions_are_refused(question: str) -> None:
    with pytest.raises(ValueError, match="from left to right"):
        first_wrong(question, "")
