"""Which attempts count where only failures do."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from whet.examples import example_batch, example_outputs
from whet.objectives.clip import Clip
from whet.objectives.kl import KL
from whet.types import Batch
from whet.weightings.constant_length import ConstantLength
from whet.weightings.failed import Failed
from whet.weightings.sequence_mean import SequenceMean
from whet.weightings.token_mean import TokenMean
from whet.weightings.where import Where

INNER = [TokenMean(), SequenceMean(), ConstantLength(10)]


def batch(*correct: float, size: int = 4, **terms: list[float]) -> Batch:
    """One row per attempt, with as many trained tokens as its number plus one; `size` attempts to a group."""
    n = len(correct)
    zeros = torch.zeros(n, n + 1)
    trained = (torch.arange(n + 1) > 0) & (torch.arange(n + 1) <= torch.arange(n)[:, None] + 1)
    return Batch(
        tokens=torch.ones(n, n + 1, dtype=torch.long),
        valid=torch.ones(n, n + 1, dtype=torch.bool),
        trained=trained,
        logprobs=zeros,
        advantages=zeros,
        weights=zeros,
        temperature=torch.ones(n),
        trajectory=torch.arange(n),
        group=torch.arange(n) // size,
        name=("direct",) * n,
        model=("policy",) * n,
        tracks={"teacher": zeros - 1.0},
        terms={"correct": torch.tensor(correct), **{name: torch.tensor(values) for name, values in terms.items()}},
    )


def counted(weighting, of: Batch) -> list[int]:
    return weighting(of).any(1).nonzero().flatten().tolist()


def test_failed_attempts_count_and_failed_groups() -> None:
    attempt, group = Failed(), Failed(of="group")
    assert counted(attempt, batch(1, 0, 0, 1)) == [1, 2] and counted(group, batch(1, 0, 0, 1)) == []
    assert counted(attempt, batch(0, 0, 0, 0)) == [0, 1, 2, 3] == counted(group, batch(0, 0, 0, 0))
    assert counted(attempt, batch(1, 1, 1, 1)) == [] == counted(group, batch(1, 1, 1, 1))
    assert counted(group, batch(0, 0, 0, 1, 0, 0, 0, 0)) == [4, 5, 6, 7]


def test_an_attempt_without_a_verdict_has_not_failed() -> None:
    assert counted(Failed(), batch(math.nan, 0, -1.0, 0.5)) == [1, 2]
    assert counted(Failed(of="group"), batch(math.nan, 0, 0, 0)) == []


@pytest.mark.parametrize("of", ["attempt", "group"])
@pytest.mark.parametrize("weighting", INNER, ids=repr)
def test_the_others_stay_in_every_count(weighting, of) -> None:
    example = batch(1, 0, 0, 1, 0, 0, 0, 0)
    found, whole = Failed("correct", of, weighting)(example), weighting(example)
    on = counted(Failed("correct", of), example)
    assert torch.equal(found[on], whole[on]) and len(on) < 8


@pytest.mark.parametrize("of", ["attempt", "group"])
@given(st.lists(st.booleans(), min_size=6, max_size=6), st.permutations(range(9)))
def test_it_follows_rows_that_are_picked_and_moved(of, right: list[bool], order: list[int]) -> None:
    example = example_batch(1)
    whole = replace(example, terms={"ok": torch.tensor(right).float()[example.trajectory]})
    assert torch.allclose(Failed("ok", of)(whole.rows(order)), Failed("ok", of)(whole)[order])


def test_a_group_without_failures_has_a_joint_loss_of_exactly_0() -> None:
    """No advantage and no teacher: every attempt is right, however far away the teacher is."""
    example = batch(1, 1, 1, 1)
    outputs = replace(example_outputs(example), logprobs=torch.full((4, 5), -0.3).requires_grad_())
    taught = (KL("k2", "teacher")(outputs, example)[0] * Failed()(example)).sum()
    loss = (Clip()(outputs, example)[0] * TokenMean()(example)).sum() + 0.05 * taught
    assert loss.item() == 0 and not torch.autograd.grad(loss, outputs.logprobs)[0].any()
    other = batch(1, 1, 0, 1)
    assert (KL("k2", "teacher")(outputs, other)[0] * Failed()(other)).sum().item() > 0


def test_what_was_cut_off_can_be_left_out_too() -> None:
    cut = batch(1, 0, 0, 0, 0, 0, 0, 0, finished=[1, 1, 0, 1, 1, 0, 1, 1])
    assert counted(Where("finished", Failed()), cut) == [1, 3, 4, 6, 7]
    assert counted(Where("finished", Failed(of="group")), cut) == [4, 6, 7]


def test_what_can_not_be_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Failed\.of"):
        Failed(of="batch")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"'right', and the batch has \['correct'\]"):
        Failed("right")(batch(1, 0))
