"""Each side of right and wrong has a mean of its own; of each group one of each may be chosen."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from whet.examples import example_batch
from whet.types import Batch
from whet.weightings.by_outcome import ByOutcome
from whet.weightings.one_of_each import OneOfEach
from whet.weightings.sequence_mean import SequenceMean
from whet.weightings.token_mean import TokenMean


def batch(correct: list[float], group: list[int] | None = None, trajectory: list[int] | None = None) -> Batch:
    """Rows of 1, 2, 3, 1, 2, 3, ... trained tokens behind a prompt of one."""
    rows = len(correct)
    lengths = torch.arange(rows) % 3 + 2
    valid = torch.arange(4) < lengths[:, None]
    zeros = torch.zeros(rows, 4)
    return Batch(
        tokens=valid.long(),
        valid=valid,
        trained=valid & (torch.arange(4) > 0),
        logprobs=zeros,
        advantages=zeros,
        weights=zeros,
        temperature=torch.ones(rows),
        trajectory=torch.tensor(trajectory or list(range(rows))),
        group=torch.tensor(group or [0] * rows),
        name=("direct",) * rows,
        model=("policy",) * rows,
        terms={"correct": torch.tensor(correct)},
    )


def per_row(weights: torch.Tensor) -> list[float]:
    return weights.max(1).values.tolist()


def test_each_side_is_divided_by_its_own_tokens_of_the_whole_step() -> None:
    """Right: 1 + 3 tokens, wrong: 2 + 1, whatever the groups and the attempts."""
    found = ByOutcome()(batch([1, 0, 1, 0], [0, 0, 1, 1]))
    assert per_row(found) == pytest.approx([1 / 4, 0.5 / 3, 1 / 4, 0.5 / 3])
    assert found.sum().item() == pytest.approx(1.5)


@pytest.mark.parametrize(("correct", "total"), [([1.0, 1.0], 1.0), ([0.0, -1.0], 0.5), ([math.nan, math.nan], 0.0)])
def test_a_side_without_tokens_gives_no_nan(correct: list[float], total: float) -> None:
    found = ByOutcome()(batch(correct))
    assert not found.isnan().any() and found.sum().item() == pytest.approx(total)


def test_a_side_can_be_left_out() -> None:
    assert per_row(ByOutcome(wrong=0.0)(batch([1, 0, 1]))) == pytest.approx([1 / 4, 0, 1 / 4])
    with pytest.raises(ValueError, match=r"ByOutcome\.wrong"):
        ByOutcome(wrong=-1.0)


def test_one_right_and_one_wrong_attempt_of_each_group_count() -> None:
    found = OneOfEach()(batch([0, 1, 0, 1, 1, 0, 1, 1, 0], [0, 0, 0, 0, 7, 7, 7, 7, 7]))
    chosen = [0, 1, 4, 5]
    tokens = 1 + 2 + 2 + 3
    assert per_row(found) == pytest.approx([1 / tokens if i in chosen else 0 for i in range(9)])


def test_all_rows_of_the_chosen_attempt_count_and_one_without_tokens_is_not_chosen() -> None:
    b = batch([1, 1, 0, 1], trajectory=[2, 2, 3, 5])
    assert OneOfEach()(b).any(1).tolist() == [True, True, True, False]
    silent = replace(b, trained=b.trained & torch.tensor([False, False, True, True])[:, None])
    assert OneOfEach()(silent).any(1).tolist() == [False, False, True, True]


def test_a_group_of_one_outcome_keeps_one_and_no_verdict_is_neither() -> None:
    assert OneOfEach()(batch([1, 1, math.nan])).any(1).tolist() == [True, False, False]
    assert not OneOfEach()(batch([math.nan] * 2)).any()


def test_what_is_left_out_is_in_no_count() -> None:
    b = batch([1, 1, 0, 0])
    assert torch.equal(OneOfEach(weighting=ByOutcome())(b)[[0, 2]], ByOutcome()(b.rows([0, 2])))
    assert torch.equal(OneOfEach(weighting=SequenceMean())(b)[[0, 2]], SequenceMean()(b.rows([0, 2])))


@given(st.integers(0, 30), st.permutations(range(9)))
def test_the_choice_follows_rows_that_are_moved(seed: int, order: list[int]) -> None:
    b = example_batch(seed)
    b = replace(b, terms={"correct": (b.trajectory % 3 == 0).float()})
    for weighting in (OneOfEach(), OneOfEach(weighting=ByOutcome()), ByOutcome()):
        assert torch.allclose(weighting(b.rows(order)), weighting(b)[order])


@pytest.mark.parametrize("weighting", [OneOfEach("right", TokenMean()), ByOutcome("right")])
def test_an_unknown_term_is_refused(weighting: OneOfEach | ByOutcome) -> None:
    with pytest.raises(ValueError, match=r"'right', and the batch has \['correct'\]"):
        weighting(batch([1.0]))
