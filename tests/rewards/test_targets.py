"""Target lengths that follow what the policy can do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from whet.rewards.targets import Shrinking, TargetByDifficulty, class_of, coverage, shortest_enough
from whet.rewards.within_target import WithinTarget
from whet.schedule import at
from whet.types import Group, Scored

GRID, LONGEST = (10, 20, 40), 60
COVERED = {"high": (0.1, 0.3, 1.0), "medium": (0.0, 0.4, 0.9), "low": (0.0, 0.2, 1.0)}


def scored(ids: Callable[..., Group], correct: list[float], *counts: int) -> Scored:
    group = ids(*([5] * count for count in counts))
    rewards = tuple(torch.zeros(len(t.rows[0])) for t in group.trajectories)
    return Scored(group, rewards, {"correct": torch.tensor(correct)})


def test_classes_hold_their_lower_ends():
    assert [class_of(a) for a in (1, 2 / 3, 0.66, 1 / 3, 0.33, 0)] == ["high", "high", "medium", "medium", "low", "low"]


@pytest.mark.parametrize(
    ("rounding", "bounds", "found"),
    [
        ("down", {"high": 5, "medium": 2, "low": 1}, {"high": 20, "medium": 40, "low": 40}),
        ("up", {"high": 6, "medium": 3, "low": 1}, {"high": 20, "medium": 20, "low": 40}),
    ],
)
def test_the_shortest_length_within_which_one_right_attempt_is_expected(rounding: Any, bounds: dict, found: dict):
    assert TargetByDifficulty(LONGEST, GRID, 8, rounding).lower_bounds() == bounds
    assert {name: shortest_enough(COVERED[name], GRID, bounds[name], LONGEST) for name in COVERED} == found


def test_rounding_does_not_lose_a_whole_attempt():
    assert shortest_enough([0.1 + 0.2 - 0.1], [10], 5, LONGEST) == 10
    assert shortest_enough([1 / 3], [10], 3, LONGEST) == 10
    assert shortest_enough([0.199], [10], 5, LONGEST) == LONGEST


def test_coverage_is_a_share_of_all_replies():
    assert coverage([10, 11, 40, 41], GRID) == [0.25, 0.5, 0.75]
    assert coverage([], GRID) == [0, 0, 0]


def test_targets_come_from_the_replies_of_each_class_right_or_wrong(ids: Callable[..., Group]):
    targets = TargetByDifficulty(start=30, grid=GRID, attempts=3)  # one attempt at least of "medium", two of "high"
    assert {targets(a) for a in (0.0, 0.5, 1.0)} == {30}
    told = targets.refresh(
        [
            scored(ids, [1, 1, 1], 10, 15, 25),  # high: within 10 tokens 2/6 of two attempts, within 20 4/6
            scored(ids, [1, 0, 1], 12, 16, 55),
            scored(ids, [0, 1, 0], 8, 9, 10),  # medium: all within 10, the wrong ones too
        ]
    )
    assert (targets(1.0), targets(0.5), targets(0.0)) == (20, 10, 55)  # of "low" there is none
    assert told == {
        **{"target/high": 20, "target/medium": 10, "target/low": 55},
        **{"monitor/high": 2 / 3, "monitor/medium": 1 / 3, "monitor/low": 0},
    }
    assert targets.refresh([]) == {} and targets(1.0) == 20


def test_what_lies_beyond_the_grid_is_the_longest_reply(ids: Callable[..., Group]):
    targets = TargetByDifficulty(start=30, grid=GRID, attempts=3)
    targets.refresh([scored(ids, [0, 0, 0], 41, 50, 44)])
    assert targets(0.0) == 50


def test_a_term_that_is_not_there_is_named(ids: Callable[..., Group]):
    with pytest.raises(ValueError, match=r"'right' and the reward has \['correct'\]"):
        TargetByDifficulty(30, GRID, term="right").refresh([scored(ids, [1.0], 3)])


def test_wrong_settings_are_refused():
    wrong: Any
    for wrong, told in (
        ({"start": 0}, "start must be at least 1"),
        ({"grid": ()}, "grid must be lengths"),
        ({"attempts": 2}, "attempts must be at least 3"),
        ({"rounding": "half"}, '"down" or "up"'),
    ):
        with pytest.raises(ValueError, match=told):
            TargetByDifficulty(**{"start": 8, "grid": GRID, **wrong})
    for wrong, told in (
        ({"least": 0}, "1 <= least <= start"),
        ({"by": 0}, "by > 0"),
        ({"patience": 0}, "patience >= 1"),
        ({"share": 2}, r"lie in \[0, 1\]"),
    ):
        with pytest.raises(ValueError, match=told):
            Shrinking(**{"start": 8, "least": 4, "by": 2, **wrong})


def test_a_target_shrinks_once_few_attempts_are_longer_for_some_steps(ids: Callable[..., Group]):
    target = Shrinking(start=10, least=7, by=2, share=0.25, patience=2)
    short, long = [scored(ids, [1] * 4, 10, 10, 3, 11)], [scored(ids, [1] * 4, 10, 11, 3, 11)]
    seen = []
    for step, played in enumerate([short, long, short, short, short, short]):
        target.observe(step, played, {})
        seen.append(target.value(step))
    assert seen == [10, 10, 10, 8, 8, 8]  # at 8 all four but one are too long
    for step in range(2):
        target.observe(step, [scored(ids, [1], 3)], {})
    target.observe(9, [], {})
    assert target.value(9) == 7
    term = WithinTarget(lambda group: torch.ones(1), target)
    assert at(term, 0).target == 7
