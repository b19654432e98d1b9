"""Two attempts of lengths 1 and 3, the second in two rows."""

import pytest
import torch

from whet.examples import example_batch
from whet.types import Batch
from whet.weightings.constant_length import ConstantLength
from whet.weightings.sequence_mean import SequenceMean
from whet.weightings.token_mean import TokenMean


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
