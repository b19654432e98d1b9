"""Advantages against the group's mean."""

import math
from collections.abc import Sequence

import pytest
import torch
from helpers.examples import attempt, group, row, scored
from hypothesis import given
from hypothesis import strategies as st

from whet.advantages.group_mean import GroupMean
from whet.types import Scored


def one_token(rewards: Sequence[float]) -> Scored:
    return scored(group(*(attempt(row([1, 2], [0, 1])) for _ in rewards)), rewards)


def values(advantage: GroupMean, *groups: Sequence[float]) -> list[list[float]]:
    credit = advantage([one_token(rewards) for rewards in groups])
    return [[float(x[-1]) for x in x_G] for x_G in credit.advantages]


def test_grpo_divides_by_the_population_std() -> None:
    assert values(GroupMean(eps=0.0), [1, 1, 0, 0]) == [[1, 1, -1, -1]]
    assert values(GroupMean(), [1] * 7 + [0])[0][-1] == pytest.approx(-2.645751, abs=1e-5)


def test_the_unbiased_std_divides_by_one_less() -> None:
    found = values(GroupMean(eps=0.0, unbiased=True), [1, 0])[0]
    assert found == pytest.approx([math.sqrt(0.5), -math.sqrt(0.5)])


def test_dr_grpo_only_centres() -> None:
    assert values(GroupMean("none"), [1, 0, 0, 0]) == [[0.75, -0.25, -0.25, -0.25]]


def test_lite_ppo_divides_by_the_std_of_the_raw_rewards_of_the_batch() -> None:
    found = values(GroupMean("batch"), [1, 1, 0, 0], [1, 1, 1, 1])
    assert found[0] == pytest.approx([1.154698, 1.154698, -1.154698, -1.154698], abs=1e-6)
    assert found[1] == [0, 0, 0, 0]


def test_batch_std_of_one_group_is_the_group_std() -> None:
    assert values(GroupMean("batch"), [1, 0, 0, 2]) == values(GroupMean("group"), [1, 0, 0, 2])


@pytest.mark.parametrize("std", ["group", "batch", "none"])
@given(value=st.floats(-5, 5, width=32), count=st.integers(1, 9))
def test_equal_rewards_give_zero(std, value: float, count: int) -> None:
    assert values(GroupMean(std, eps=0.0), [value] * count) == [[0.0] * count]


@given(st.lists(st.integers(-3, 3), min_size=2, max_size=8), st.integers(-4, 4))
def test_adding_the_same_to_every_reward_changes_nothing(rewards: list[int], shift: int) -> None:
    before, after = values(GroupMean(), rewards), values(GroupMean(), [r + shift for r in rewards])
    assert before[0] == pytest.approx(after[0], abs=1e-6)
    assert sum(before[0]) == pytest.approx(0, abs=1e-5)


def test_rewards_per_token_are_summed_and_rounding_is_no_difference() -> None:
    g = group(attempt(row([1, 2, 3, 4], [0, 1, 1, 1])), attempt(row([1, 2, 3, 4], [0, 1, 1, 1])))
    same = Scored(g, (torch.tensor([0, 0.1, 0.1, 0.1]), torch.tensor([0, 0, 0, 0.3])))
    assert not any(x.any() for x in GroupMean()([same]).advantages[0])
    apart = Scored(g, (torch.tensor([0, 1.0, 1.0, 0.0]), torch.zeros(4)))
    assert [x.tolist() for x in GroupMean("none")([apart]).advantages[0]] == [[0, 1, 1, 1], [0, -1, -1, -1]]


def test_the_advantage_lies_on_trained_tokens_of_every_row() -> None:
    two_rows = attempt(row([1, 2, 3], [0, 1, 0]), row([4, 5], [0, 1]))
    found = GroupMean("none")([scored(group(two_rows, attempt(row([1, 2], [0, 1]))), [1, 0])]).advantages[0]
    assert found[0].tolist() == [0, 0.5, 0, 0, 0.5]


def test_an_unknown_std_is_refused() -> None:
    with pytest.raises(ValueError, match="group"):
        GroupMean("population")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="eps"):
        GroupMean(eps=-1.0)
