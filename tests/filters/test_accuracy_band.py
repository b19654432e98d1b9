"""Which groups lie in the band."""

import math

import pytest
import torch
from helpers.examples import attempt, group, row, scored
from hypothesis import given
from hypothesis import strategies as st

from whet.advantages.group_mean import GroupMean
from whet.contracts import check_filter
from whet.filters.accuracy_band import AccuracyBand
from whet.filters.mixed import Mixed
from whet.schedule import Linear, at
from whet.types import Scored


def of(values: list[float], rewards: list[float] | None = None) -> Scored:
    """A group with these values of the term "correct"."""
    plain = scored(group(*(attempt(row([1, 2], [0, 1])) for _ in values)), rewards or values)
    return Scored(plain.group, plain.rewards, {"correct": torch.tensor(values)})


def right(count: int, attempts: int = 8) -> Scored:
    return of([1.0] * count + [0.0] * (attempts - count))


def kept(band: AccuracyBand, attempts: int = 8) -> list[int]:
    """How many right attempts a group may have to be kept."""
    every = [right(count, attempts) for count in range(attempts + 1)]
    return [i for i, one in enumerate(every) if any(one is other for other in band(every))]


def test_of_eight_attempts_two_to_six_right_are_kept() -> None:
    assert kept(AccuracyBand(0.25, 0.75)) == [2, 3, 4, 5, 6]
    assert AccuracyBand() == AccuracyBand(0.25, 0.75)


def test_of_four_attempts_all_that_are_mixed_are_kept() -> None:
    assert kept(AccuracyBand(0.25, 0.75), attempts=4) == [1, 2, 3]


def test_all_right_and_all_wrong_stay_out_of_every_band() -> None:
    assert kept(AccuracyBand(0, 1)) == [1, 2, 3, 4, 5, 6, 7]
    assert kept(AccuracyBand(0, 0.5)) == [1, 2, 3, 4]
    assert kept(AccuracyBand(0.5, 1)) == [4, 5, 6, 7]
    every = [right(count) for count in range(9)]
    assert AccuracyBand(0, 1)(every) == Mixed("correct")(every)


def test_bounds_are_inclusive_whatever_rounds() -> None:
    assert kept(AccuracyBand(1 - 0.7, 0.7), attempts=10) == [3, 4, 5, 6, 7]
    assert kept(AccuracyBand(1 / 3, 2 / 3), attempts=6) == [2, 3, 4]
    assert kept(AccuracyBand(0.5, 0.5)) == [4]


def test_order_is_kept() -> None:
    easy, first, hard, second = right(8), right(5), right(0), right(3)
    assert AccuracyBand()([second, easy, first, hard]) == [second, first]


def test_kept_groups_are_the_very_same_and_every_one_has_a_spread() -> None:
    every = [right(count) for count in range(9)]
    for band in (AccuracyBand(), AccuracyBand(0, 1), AccuracyBand(0, 0.5), AccuracyBand(0.5, 1)):
        for one in band(every):
            assert any(one is other for other in every)  # neither reweighted nor copied
            assert float(torch.stack([r.sum() for r in one.rewards]).std(unbiased=False)) > 0
    (four,) = AccuracyBand(0.5, 0.5)(every)
    credit = GroupMean()([four]).advantages[0]
    assert [float(x[-1]) for x in credit] == pytest.approx([1.0] * 4 + [-1.0] * 4, abs=1e-3)


def test_right_is_the_term_and_not_the_reward() -> None:
    shaped = of([1.0, 0.0, 1.0, 0.0], rewards=[0.1, 0.1, 0.1, 0.1])
    assert AccuracyBand()([shaped]) == [shaped]
    partial = of([0.5, 0.5, 0.5, 0.5])  # half right each is right nowhere
    assert AccuracyBand()([partial]) == []


def test_attempts_without_a_verdict_do_not_count() -> None:
    assert len(AccuracyBand(0.5, 0.5)([of([1, math.nan, 0, math.nan])])) == 1
    assert AccuracyBand()([of([1, math.nan]), of([math.nan, math.nan]), of([1.0])]) == []


@given(st.integers(2, 32), st.integers(0, 50))
def test_a_balanced_band_treats_right_and_wrong_alike(attempts: int, percent: int) -> None:
    inside = kept(AccuracyBand(percent / 100, 1 - percent / 100), attempts)
    assert inside == sorted(attempts - count for count in inside)
    assert set(inside) <= set(range(1, attempts))


@given(st.permutations([1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]))
def test_the_order_of_siblings_decides_nothing(values: list[float]) -> None:
    assert len(AccuracyBand()([of(values)])) == 1
    assert AccuracyBand(0.3, 0.7)([of(values)]) == []


def test_bounds_may_be_schedules() -> None:
    narrowing = AccuracyBand(Linear(0.0, 0.5, 10), Linear(1.0, 0.5, 10))
    assert kept(at(narrowing, 0)) == [1, 2, 3, 4, 5, 6, 7]
    assert kept(at(narrowing, 10)) == [4]


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(-0.1, 0.5, "-0.1"), (0.5, 1.1, "1.1"), (math.nan, 0.5, "nan"), (0.8, 0.2, "0.8 to 0.2"), (0, 0, "nothing")],
)
def test_a_band_that_can_keep_nothing_is_refused(low: float, high: float, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        AccuracyBand(low, high)


def test_an_unknown_term_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'corect'.*correct"):
        AccuracyBand(term="corect")([right(4)])


def test_it_keeps_the_promises_of_a_filter() -> None:
    check_filter(AccuracyBand(0, 1, term="correct"))
