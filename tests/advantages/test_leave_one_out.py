"""RLOO and the plain reward."""

import pytest
from helpers.examples import attempt, group, row, scored

from whet.advantages.leave_one_out import LeaveOneOut
from whet.advantages.plain import Plain


def values(advantage, rewards: list[float]) -> list[float]:
    g = group(*(attempt(row([1, 2], [0, 1])) for _ in rewards))
    return [float(x[-1]) for x in advantage([scored(g, rewards)]).advantages[0]]


@pytest.mark.parametrize(
    ("rewards", "expected"),
    [([1, 0, 0, 1], [2 / 3, -2 / 3, -2 / 3, 2 / 3]), ([1, 0, 0, 0], [1, -1 / 3, -1 / 3, -1 / 3]), ([-1, -1], [0, 0])],
)
def test_each_is_compared_with_the_mean_of_the_others(rewards, expected) -> None:
    assert values(LeaveOneOut(), rewards) == pytest.approx(expected)


def test_a_group_of_one_gets_zero() -> None:
    assert values(LeaveOneOut(), [1.0]) == [0.0]


def test_plain_is_the_reward_itself() -> None:
    assert values(Plain(), [1.0, -0.5]) == [1.0, -0.5]
