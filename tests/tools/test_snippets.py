from __future__ import annotations

import pytest
from helpers.examples import attempt, row

from whet.tools.snippets import Snippet, failed, snippets
from whet.types import Trajectory, Turn


def conversation(*turns: tuple[str, str, int]) -> Trajectory:
    """Turns (role, text, tokens) of one row."""
    made, start, sampled = [], 0, []
    for role, text, length in turns:
        made.append(Turn(role, text, 0, start, start + length))
        start += length
        sampled += [int(role == "policy")] * length
    plain = attempt(row(range(1, start + 1), sampled))
    return Trajectory(plain.problem, plain.rows, tuple(made))


def test_calls_that_were_answered_are_listed_in_order():
    t = conversation(
        ("prompt", "1*2=?", 5),
        ("policy", "<code>print(y)</code>", 4),
        ("env", "<interpreter>NameError: name 'y' is not defined</interpreter>", 6),
        ("policy", "<code>print(2)</code>", 3),
        ("env", "<interpreter>2</interpreter>", 3),
        ("policy", "<answer>2</answer>", 4),
    )
    assert snippets(t) == [
        Snippet("<interpreter>NameError: name 'y' is not defined</interpreter>", True, 4),
        Snippet("<interpreter>2</interpreter>", False, 7),
    ]
    assert snippets(conversation(("prompt", "1*2=?", 5), ("policy", "<code>print(2)</code>", 4))) == []


@pytest.mark.parametrize("said", ["SyntaxError: bad", "3\nZeroDivisionError: by zero", "timed out", "killed"])
def test_errors_and_outcomes_of_the_sandbox_are_failures(said: str):
    assert failed(f"<interpreter>{said}</interpreter>")


@pytest.mark.parametrize("said", ["", "42", "ok", "no Error here", "Error: 1\n2"])
def test_what_code_prints_is_none(said: str):
    assert not failed(f"<interpreter>{said}</interpreter>")
