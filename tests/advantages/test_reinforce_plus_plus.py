"""Normalisation over the batch's tokens."""

import pytest
import torch
from helpers.examples import attempt, group, row, scored

from whet.advantages.reinforce_plus_plus import BatchNormalised
from whet.types import Scored

SHORT, LONG = attempt(row([1, 2], [0, 1])), attempt(row([1, 2, 3, 4], [0, 1, 1, 1]))


def test_mean_and_std_run_over_tokens() -> None:
    """Returns 1 (one token) and 0 (three tokens): mean 1/4, variance 3/16."""
    found = BatchNormalised(eps=0.0)([scored(group(SHORT, LONG), [1, 0])]).advantages[0]
    assert found[0].tolist() == pytest.approx([0, 0.75 / (3 / 16) ** 0.5])
    assert found[1].tolist() == pytest.approx([0, *[-0.25 / (3 / 16) ** 0.5] * 3])


def test_a_reward_per_token_counts_from_its_token_back() -> None:
    """Returns from each token on: 1, 1, 2, 2 -> deviations -1/2, -1/2, 1/2, 1/2."""
    one = Scored(group(LONG), (torch.tensor([0, -1.0, 1.0, 1.0]),))
    more = Scored(group(SHORT), (torch.tensor([0, 2.0]),))
    found = BatchNormalised(eps=0.0)([one, more]).advantages
    returns = torch.tensor([1.0, 2.0, 1.0, 2.0])
    expected = (returns - returns.mean()) / returns.std(unbiased=False)
    assert found[0][0][1:].tolist() == pytest.approx(expected[:3].tolist())
    assert found[1][0][1:].tolist() == pytest.approx(expected[3:].tolist())


def test_with_baseline_the_group_mean_goes_first() -> None:
    easy, hard = scored(group(SHORT, SHORT), [1, 1]), scored(group(SHORT, SHORT), [1, 0])
    found = BatchNormalised("group", eps=0.0)([easy, hard]).advantages
    assert [[float(x[1]) for x in x_G] for x_G in found] == [[0, 0], pytest.approx([2**0.5, -(2**0.5)])]


def test_equal_returns_in_the_whole_batch_give_zero() -> None:
    found = BatchNormalised(eps=0.0)([scored(group(SHORT, LONG), [0.1, 0.1])]).advantages[0]
    assert not any(x.any() for x in found)


def test_an_unknown_baseline_is_refused() -> None:
    with pytest.raises(ValueError, match="baseline"):
        BatchNormalised("mean")  # type: ignore[arg-type]
