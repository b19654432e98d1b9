"""Two attempts of lengths 1 and 3, the second in two rows."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from whet.examples import example_batch
from whet.types import Batch
from whet.weightings.constant_length import ConstantLength
from whet.weightings.sequence_mean import SequenceMean
from whet.weightings.token_mean import TokenMean
from whet.weightings.where import Where


def batch() -> Batch:
    trained = torch.tensor([[0, 1, 0], [0, 1, 1], [0, 0, 1]], dtype=torch.bool)
    zeros = torch.zeros(3, 3)
    return Batch(
        tokens=torch.ones(3, 3, dtype=torch.long),
        valid=torch.ones(3, 3, dtype=torch.bool),
        trained=trained,
        logprobs=zeros,
        advantages=zeros,
        weights=zeros,
        temperature=torch.ones(3),
        trajectory=torch.tensor([4, 9, 9]),
        group=torch.tensor([0, 0, 0]),
        name=("direct",) * 3,
        model=("policy",) * 3,
    )


LOSSES = torch.tensor([[0, 1.0, 0], [0, 2.0, 2.0], [0, 0, 2.0]])


@pytest.mark.parametrize(
    ("weighting", "loss"), [(TokenMean(), 1.75), (SequenceMean(), 1.5), (ConstantLength(10), 7 / 20)]
)
def test_losses_1_and_2_of_lengths_1_and_3(weighting, loss: float) -> None:
    assert float((weighting(batch()) * LOSSES).sum()) == pytest.approx(loss)


def test_an_attempt_in_two_rows_weighs_as_much_as_one_in_one_row() -> None:
    weights = SequenceMean()(batch())
    assert weights[0].sum().item() == pytest.approx(0.5)
    assert weights[1:].sum().item() == pytest.approx(0.5)


@pytest.mark.parametrize("weighting", [TokenMean(), SequenceMean()])
@pytest.mark.parametrize("seed", range(5))
def test_means_sum_to_one(weighting, seed: int) -> None:
    assert weighting(example_batch(seed)).sum().item() == pytest.approx(1)


def test_no_length_is_refused() -> None:
    with pytest.raises(ValueError, match="max_tokens"):
        ConstantLength(0)


def with_terms(**terms: list[float]) -> Batch:
    return replace(batch(), terms={name: torch.tensor(values) for name, values in terms.items()})


INNER = [TokenMean(), SequenceMean(), ConstantLength(10)]


@pytest.mark.parametrize("weighting", INNER, ids=repr)
def test_where_forgets_the_other_attempts_in_weights_and_in_counts(weighting) -> None:
    """Only the attempt in two rows counts: it weighs what it would if it stood alone."""
    found = Where("correct", weighting)(with_terms(correct=[0.0, 0.5, 0.5]))
    assert not found[0].any()
    assert torch.equal(found[1:], weighting(batch().rows([1, 2])))


@pytest.mark.parametrize("weighting", INNER, ids=repr)
@pytest.mark.parametrize("value", [0.0, -1.0, math.nan])
def test_where_nobody_counts_every_weight_is_zero(weighting, value: float) -> None:
    assert not Where("correct", weighting)(with_terms(correct=[value] * 3)).any()


@pytest.mark.parametrize("weighting", INNER, ids=repr)
def test_where_everybody_counts_nothing_changes(weighting) -> None:
    assert torch.equal(Where("finished", weighting)(with_terms(finished=[1.0] * 3)), weighting(batch()))


@given(st.lists(st.booleans(), min_size=6, max_size=6), st.permutations(range(9)))
def test_where_follows_rows_that_are_picked_and_moved(right: list[bool], order: list[int]) -> None:
    example = example_batch(1)
    whole = replace(example, terms={"ok": torch.tensor(right).float()[example.trajectory]})
    assert torch.allclose(Where("ok")(whole.rows(order)), Where("ok")(whole)[order])
    assert Where("ok")(whole).sum().item() == pytest.approx(float(any(right)))


def test_where_names_the_terms_that_there_are() -> None:
    with pytest.raises(ValueError, match=r"'right', and the batch has \['correct', 'length'\]"):
        Where("right")(with_terms(length=[1.0] * 3, correct=[1.0] * 3))
    with pytest.raises(ValueError, match="none"):
        Where("right")(batch())
