"""The best attempt with a thought against the worst without one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from helpers.examples import attempt, group, row, scored
from hypothesis import given
from hypothesis import strategies as st

from whet.contracts import check_filter
from whet.filters.worth_thinking import WorthThinking
from whet.types import Scored


def of(values: Sequence[float], name: str = "direct", slot: int = 0, problem: str = "p") -> Scored:
    """A group whose term "accuracy" has these values and whose rewards are others."""
    tried = group(*(attempt(row([1, 2], [0, 1]), problem=problem) for _ in values), name=name, slot=slot)
    plain = scored(tried, [0.0] * len(values))
    return Scored(plain.group, plain.rewards, {"accuracy": torch.tensor(values)})


def kept(thought: Sequence[float], without: Sequence[float]) -> bool:
    first, other = of(thought), of(without, "no-think")
    out = WorthThinking()([first, other])
    assert out in ([], [first])
    return bool(out)


@pytest.mark.parametrize(
    ("thought", "without", "keep"),
    [
        ([0.5, -2], [0.5, 2], True),  # 0.5 >= 0.5
        ([0.25, -2], [0.5, 2], False),
        ([-2, -2], [-2, -2], True),  # ties pass: all answers were empty
        ([2, 2], [2, 2], True),
        ([0.5, -2], [2, 2], False),
        ([-2, 0.75], [0.75, 2], True),
        ([-2], [0.25], False),
    ],
)
def test_the_best_is_compared_with_the_worst(thought: list[float], without: list[float], keep: bool):
    assert kept(thought, without) is keep


def test_max_against_max_would_be_another_rule():
    assert max([0.5, -2]) < max([0.5, 2]) and kept([0.5, -2], [0.5, 2])


def test_each_problem_is_compared_with_its_own_and_order_is_kept():
    lost, lost_other = of([-2], slot=0), of([2], "no-think", slot=0)
    won, won_other = of([2], slot=1), of([0.5], "no-think", slot=1)
    tied, tied_other = of([0.5], slot=2), of([0.5, 2], "no-think", slot=2)
    assert WorthThinking()([tied_other, won, lost, lost_other, tied, won_other]) == [won, tied]


def test_a_problem_drawn_twice_is_two():
    groups = [of([-2], slot=0), of([2], "no-think", slot=0), of([2], slot=1), of([0.5], "no-think", slot=1)]
    assert WorthThinking()(groups) == [groups[2]]


def test_only_attempts_that_thought_and_groups_of_other_kinds_come_through():
    shown = of([0], "demonstration")
    groups = [of([-2]), of([2], "no-think"), shown, of([2], slot=1), of([0], "no-think", slot=1)]
    assert WorthThinking()(groups) == [shown, groups[3]]


def test_attempts_without_a_verdict_are_not_looked_at():
    assert kept([math.nan, 0.5], [0.5, math.nan])
    assert not kept([math.nan, 0.25], [0.5, math.nan])
    assert not kept([math.nan], [0.5]) and not kept([0.5], [math.nan])


def test_one_problem_without_the_other_group_is_dropped_and_a_batch_without_any_is_refused():
    alone, first, other = of([2], slot=0), of([2], slot=1), of([0], "no-think", slot=1)
    assert WorthThinking()([alone, first, other]) == [first]
    with pytest.raises(ValueError, match=r"no group 'no-think' among \['direct'\].*Beside"):
        WorthThinking()([alone])
    assert WorthThinking()([]) == []


def test_an_unknown_term_and_one_name_for_both_are_refused():
    with pytest.raises(ValueError, match=r"'correct'.*accuracy"):
        WorthThinking("correct")([of([1]), of([1], "no-think")])
    with pytest.raises(ValueError, match="two names"):
        WorthThinking(other="direct")


VALUES = st.lists(st.sampled_from([-2.0, 0.25, 0.5, 0.75, 2.0]), min_size=1, max_size=8)


@given(VALUES, VALUES)
def test_it_is_the_rule_of_the_paper(thought: list[float], without: list[float]):
    assert kept(thought, without) is (max(thought) >= min(without))


def test_it_keeps_the_promises_of_a_filter():
    check_filter(WorthThinking("correct", name="thought", other="direct"))
