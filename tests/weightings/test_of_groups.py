"""Only the groups of some names count."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from helpers.examples import attempt, group, row, scored

from whet.advantages.group_mean import GroupMean
from whet.batching import collate
from whet.contracts import check_weighting
from whet.types import Batch
from whet.weightings.of_groups import OfGroups


def batch() -> Batch:
    attempts = scored(group(attempt(row([1, 2, 3], [0, 1, 1])), attempt(row([1, 2], [0, 1])), name="direct"), [1, 0])
    shown = scored(group(attempt(row([1, 2, 3], [0, 1, 1])), name="shown"), [1])
    return collate([attempts, shown], GroupMean()([attempts, shown]))


def test_the_others_weigh_nothing_and_are_in_no_count():
    weights = OfGroups(("direct",))(batch())
    assert torch.allclose(weights, torch.tensor([[0, 1, 1], [0, 1, 0], [0, 0, 0]]) / 3)
    assert torch.allclose(OfGroups(("shown",))(batch()), torch.tensor([[0, 0, 0], [0, 0, 0], [0, 0.5, 0.5]]))


def test_all_names_together_are_the_weighting_itself():
    whole = batch()
    assert torch.equal(OfGroups(("direct", "shown"))(whole), OfGroups().weighting(whole))


def test_a_batch_without_such_a_group_weighs_nothing():
    attempts_only = replace(batch(), name=("direct",) * 3)
    assert not OfGroups(("shown",))(attempts_only).any()


def test_it_keeps_the_contract_of_weightings():
    check_weighting(OfGroups(("direct",)))


@pytest.mark.parametrize("names", [(), "direct"])
def test_names_are_asked_for(names: tuple[str, ...]):
    with pytest.raises(ValueError, match="must be names of groups"):
        OfGroups(names)
