"""What answer-only GRPO thinks of right and wrong reasoning: the formula, and groups that are drawn."""

from __future__ import annotations

import pytest
import torch
from helpers.examples import attempt, row
from hypothesis import given
from hypothesis import strategies as st

from whet.advantages.group_mean import GroupMean
from whet.metrics.reasoning_credit import reasoning_credit, sampled_credit
from whet.types import Group, Problem, Scored

SHARES = st.floats(0.02, 0.98)


@pytest.mark.parametrize(
    ("p", "a", "b", "right", "wrong"),
    [(0.5, 0.9, 0.1, 0.8, -0.8), (0.2, 0.9, 0.3, 0.972529, -0.243132), (0.3, 0.4, 0.4, 0.0, 0.0)],
)
def test_the_formula_by_hand(p: float, a: float, b: float, right: float, wrong: float) -> None:
    assert reasoning_credit(p, a, b) == pytest.approx((right, wrong), abs=1e-6)


@given(SHARES, SHARES, SHARES)
def test_credit_is_zero_on_average_and_its_sign_is_that_of_a_minus_b(p: float, a: float, b: float) -> None:
    right, wrong = reasoning_credit(p, a, b)
    assert p * right + (1 - p) * wrong == pytest.approx(0, abs=1e-9)
    assert (right > 0) == (a > b) == (wrong < 0)


@pytest.mark.parametrize("outcome", [0.0, 1.0])
def test_rewards_that_are_all_alike_give_no_credit(outcome: float) -> None:
    assert reasoning_credit(0.5, outcome, outcome) == (0, 0)
    assert sampled_credit(0.5, outcome, outcome, group=8, groups=10) == (0, 0)


@pytest.mark.parametrize(("p", "a", "b"), [(0.5, 0.9, 0.1), (0.2, 0.9, 0.3), (0.6, 0.2, 0.7), (0.4, 0.5, 0.5)])
def test_drawn_groups_come_to_the_formula_as_they_grow(p: float, a: float, b: float) -> None:
    exact = reasoning_credit(p, a, b)
    off = [
        max(abs(x - y) for x, y in zip(sampled_credit(p, a, b, group, 200_000 // group), exact, strict=True))
        for group in (4, 1024)
    ]
    assert off[1] < 0.02  # about four standard errors of 200,000 replies
    assert a == b or off[0] > off[1]


@pytest.mark.parametrize(("a", "b", "sign"), [(0.9, 0.1, 1), (0.6, 0.5, 1), (0.2, 0.7, -1)])
@pytest.mark.parametrize("group", [2, 4, 8])
def test_small_groups_keep_the_sign_also_where_wrong_reasoning_pays(group: int, a: float, b: float, sign: int) -> None:
    right, wrong = sampled_credit(0.4, a, b, group, 40_000)
    assert sign * right > 0 > sign * wrong


def test_the_draws_are_those_of_the_advantage_that_recipes_use() -> None:
    rewards = torch.tensor([1.0, 0.0, 0.0, 1.0, 1.0])
    tries = tuple(attempt(row([1, 2], [0, 1])) for _ in rewards)
    scored = Scored(Group(Problem("p", "?"), tries), tuple(torch.tensor([0.0, float(r)]) for r in rewards))
    (credit,) = GroupMean(eps=0.0)([scored]).advantages
    expected = (rewards - rewards.mean()) / rewards.std(unbiased=False)
    assert torch.stack(credit)[:, 1].tolist() == pytest.approx(expected.tolist(), abs=1e-6)


def test_what_is_no_probability_is_refused() -> None:
    with pytest.raises(ValueError, match="probabilities"):
        reasoning_credit(1.2, 0.5, 0.5)
    with pytest.raises(ValueError, match="at least 1"):
        sampled_credit(0.5, 0.5, 0.5, group=0, groups=3)
