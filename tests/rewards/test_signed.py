from __future__ import annotations

import asyncio

import torch
from helpers.examples import attempt, group, row

from whet.rewards.calls import Calls
from whet.rewards.signed import Signed
from whet.types import Group, Problem, Trajectory, Turn


def said(*texts: str) -> Group:
    """Attempts at 6*7, each one turn of the policy."""
    problem = Problem("p", "6*7=?", "42")
    plain = attempt(row([1, 2, 3], [0, 1, 1]))
    made = [Trajectory(problem, plain.rows, (Turn("policy", text, 0, 1, 3),)) for text in texts]
    return Group(problem, tuple(made))


def test_no_answer_and_a_wrong_one_are_minus_1_and_a_right_one_without_code_is_plus_1():
    judged = asyncio.run(Signed()(said("", "<code>print(6*7)</code>", "<answer>41</answer>", "<answer>42</answer>")))
    assert judged.values.tolist() == [-1, -1, -1, 1]  # type: ignore[union-attr]
    assert judged.outcomes == ("unparseable", "unparseable", "wrong", "right")  # type: ignore[union-attr]


def test_no_verdict_stays_none():
    values = asyncio.run(Signed(lambda group: torch.tensor([0.5, float("nan")]))(said("a", "b")))
    assert values[0] == 0 and bool(torch.isnan(values[1]))  # type: ignore[arg-type]


def test_an_attempt_calls_if_something_was_answered():
    one = attempt(row([1, 2, 3], [0, 1, 0]))
    called = Trajectory(one.problem, one.rows, (Turn("policy", "<code>", 0, 1, 2), Turn("env", "2", 0, 2, 3)))
    alone = Trajectory(one.problem, one.rows, (Turn("policy", "<code>", 0, 1, 2),))
    assert Calls()(group(called, alone)).tolist() == [1, 0]
