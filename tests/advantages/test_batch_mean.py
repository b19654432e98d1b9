"""Advantages against the batch's mean, and the six combinations of scopes."""

import math
from collections.abc import Sequence

import pytest
from helpers.examples import attempt, group, row, scored
from hypothesis import given
from hypothesis import strategies as st

from whet.advantages.batch_mean import BatchMean
from whet.advantages.group_mean import GroupMean
from whet.scoring import judged
from whet.types import Advantage, Scored


def one_token(rewards: Sequence[float]) -> Scored:
    return scored(group(*(attempt(row([1, 2], [0, 1])) for _ in rewards)), rewards)


def values(advantage: Advantage, *groups: Sequence[float]) -> list[list[float]]:
    credit = advantage([one_token(rewards) for rewards in groups])
    return [[float(x[-1]) for x in x_G] for x_G in credit.advantages]


BATCH = [1, 1, 0, 0], [1, 1, 1, 0]  # mean 0.625, std sqrt(0.234375)
GROUP_STDS = 0.5, math.sqrt(3) / 4


@pytest.mark.parametrize(
    ("advantage", "means", "stds"),
    [
        (GroupMean("group"), (0.5, 0.75), GROUP_STDS),
        (GroupMean("batch"), (0.5, 0.75), (math.sqrt(0.234375),) * 2),
        (GroupMean("none"), (0.5, 0.75), (1, 1)),
        (BatchMean("group"), (0.625, 0.625), GROUP_STDS),
        (BatchMean("batch"), (0.625, 0.625), (math.sqrt(0.234375),) * 2),
        (BatchMean("none"), (0.625, 0.625), (1, 1)),
    ],
    ids=repr,
)
def test_two_scopes_of_the_mean_times_three_of_the_std(advantage: Advantage, means, stds) -> None:
    expected = [[(r - mean) / std for r in rewards] for rewards, mean, std in zip(BATCH, means, stds, strict=True)]
    for found, wanted in zip(values(advantage, *BATCH), expected, strict=True):
        assert found == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("advantage", [BatchMean(s) for s in ("batch", "group", "none")] + [GroupMean("batch")])
@given(value=st.floats(-5, 5, width=32), counts=st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_equal_rewards_in_the_whole_batch_give_zero(advantage: Advantage, value: float, counts: list[int]) -> None:
    assert values(advantage, *([value] * count for count in counts)) == [[0.0] * count for count in counts]


def test_a_group_of_equal_rewards_has_no_std_of_its_own_to_be_divided_by() -> None:
    found = values(BatchMean("group"), [0.1, 0.1, 0.1], [1, 0])
    assert found[0] == [0, 0, 0]
    assert found[1] == pytest.approx([1.48, -0.52], abs=1e-5)
    assert values(BatchMean("none"), [1, 1], [0, 0]) == [[0.5, 0.5], [-0.5, -0.5]]


def test_for_one_group_both_means_are_the_same() -> None:
    for std in ("group", "batch", "none"):
        assert values(BatchMean(std), [1, 0, 0, 2]) == values(GroupMean(std), [1, 0, 0, 2])


def test_the_group_mean_over_the_batch_std_depends_on_the_other_groups() -> None:
    lonely, crowd = [1] * 7 + [0], [1, 0] * 4
    assert values(GroupMean("group"), lonely, crowd)[0][-1] == pytest.approx(-2.645751, abs=1e-5)
    assert values(GroupMean("batch"), lonely)[0][-1] == pytest.approx(-2.645751, abs=1e-5)
    std = math.sqrt(11 / 16 * 5 / 16)
    assert values(GroupMean("batch"), lonely, crowd)[0][-1] == pytest.approx(-7 / 8 / std, rel=1e-5)


@pytest.mark.parametrize("advantage", [GroupMean("batch"), BatchMean()])
def test_an_attempt_without_a_verdict_is_in_no_statistic(advantage: Advantage) -> None:
    whole = judged([one_token([1, math.nan, 0, 0]), one_token([1, 0])])
    found = [[float(x[-1]) for x in x_G] for x_G in advantage(whole).advantages]
    assert found == values(advantage, [1, 0, 0], [1, 0])


def test_an_unknown_std_is_refused() -> None:
    with pytest.raises(ValueError, match="group"):
        BatchMean("token")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="eps"):
        BatchMean(eps=-1.0)
