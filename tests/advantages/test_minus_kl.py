"""A penalty that each token pays for itself."""

import math

import pytest
import torch
from helpers.examples import attempt, group, row, scored

from whet.advantages.gae import GAE
from whet.advantages.group_mean import GroupMean
from whet.advantages.minus_kl import MinusKL


def two(first: list[float], second: list[float]):
    """Two attempts whose tokens were sampled with log-prob -0.5, of rewards 1 and 0."""
    rows = [row([1, 2, 3], [0, 1, 1]), row([1, 2, 3], [0, 0, 1])]
    tracks = [{"reference": torch.tensor(x), "values": torch.zeros(3)} for x in (first, second)]
    return scored(group(*(attempt(r, tracks=t) for r, t in zip(rows, tracks, strict=True))), [1, 0])


def test_each_token_pays_for_itself_alone() -> None:
    given = two([math.nan, -0.5, -2.5], [0.0, math.nan, 0.5])
    found = MinusKL(GroupMean(), coef=0.1)([given]).advantages[0]
    assert found[0].tolist() == pytest.approx([0, 1, 1 - 0.1 * 2], abs=1e-5)
    assert found[1].tolist() == pytest.approx([0, 0, -1 + 0.1 * 1], abs=1e-5)


def test_without_a_strength_nothing_changes_and_targets_pass() -> None:
    given = two([0.0, -1.0, -2.0], [0.0, 0.0, -3.0])
    plain, found = GAE()([given]), MinusKL(GAE(), coef=0.0)([given])
    for values, others in ((found.advantages, plain.advantages), (found.targets, plain.targets)):
        assert values and others
        assert all(torch.equal(a, b) for a, b in zip(values[0], others[0], strict=True))


def test_far_apart_is_cut_off_at_20_nats() -> None:
    found = MinusKL(GroupMean("none"), coef=1.0)([two([0, -90.0, 90.0], [0, 0, -0.5])]).advantages[0]
    assert found[0].tolist() == [0, 0.5 - 20, 0.5 + 20]


def test_it_mixes_groups_where_the_advantage_inside_does() -> None:
    assert MinusKL(GroupMean("batch")).batch_wide and not MinusKL().batch_wide


def test_what_can_not_be_is_refused() -> None:
    with pytest.raises(ValueError, match="MinusKL"):
        MinusKL(coef=-0.1)
    with pytest.raises(ValueError, match="Logprobs"):
        MinusKL(track="teacher")([two([0, 0, 0], [0, 0, 0])])
