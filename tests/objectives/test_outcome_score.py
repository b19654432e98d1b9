"""A token-level reward model learns from the outcome alone."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from whet.examples import example_batch, example_outputs
from whet.objectives.outcome_score import OutcomeScore
from whet.types import Batch, Outputs
from whet.weightings.sequence_mean import SequenceMean

NAN = math.nan


def batch(correct: list[float], trajectory: list[int] | None = None) -> Batch:
    """Rows of a prompt token and three reply tokens."""
    rows = len(correct)
    trained = torch.tensor([[0, 1, 1, 1]] * rows, dtype=torch.bool)
    return Batch(
        tokens=torch.ones(rows, 4, dtype=torch.long),
        valid=torch.ones(rows, 4, dtype=torch.bool),
        trained=trained,
        logprobs=torch.zeros(rows, 4),
        advantages=torch.zeros(rows, 4),
        weights=torch.zeros(rows, 4),
        temperature=torch.ones(rows),
        trajectory=torch.tensor(trajectory or list(range(rows))),
        group=torch.zeros(rows, dtype=torch.long),
        name=("direct",) * rows,
        model=("policy",) * rows,
        terms={"correct": torch.tensor(correct)},
    )


def outputs(values: list[list[float]]) -> Outputs:
    found = torch.tensor(values, dtype=torch.float32).requires_grad_()
    return Outputs(torch.zeros(found.shape), torch.zeros(found.shape), found)


def bce(mean: float, right: bool) -> float:
    return math.log1p(math.exp(-mean if right else mean))


def test_the_loss_is_the_cross_entropy_of_the_mean_score_over_reply_tokens() -> None:
    """The state before a token is scored by the token before it: of values 5, 1, 3 the first is the prompt's."""
    b, out = batch([1.0, 0.0]), outputs([[9, 5, 1, 3], [9, 5, 1, 3]])
    loss, told = OutcomeScore()(out, b)
    for i, right in enumerate((True, False)):
        assert loss[i].tolist() == pytest.approx([0] + [bce(2.0, right)] * 3)
    assert told["belief"][0].tolist() == pytest.approx([0] + [1 / (1 + math.exp(-2))] * 3)
    assert told["agreement"].tolist() == [[0, 1, 1, 1], [0, 0, 0, 0]]
    assert float((loss * SequenceMean()(b)).sum().detach()) == pytest.approx((bce(2, True) + bce(2, False)) / 2)


def test_every_scored_token_gets_an_equal_share_of_the_gradient_and_the_prompt_none() -> None:
    b, out = batch([1.0]), outputs([[9, 5, 1, 3]])
    loss, _ = OutcomeScore()(out, b)
    assert out.values is not None
    (slope,) = torch.autograd.grad((loss * SequenceMean()(b)).sum(), out.values)
    share = (1 / (1 + math.exp(-2)) - 1) / 2
    assert slope[0].tolist() == pytest.approx([0, 0, share, share])


def test_the_mean_runs_over_all_rows_of_an_attempt() -> None:
    loss, _ = OutcomeScore()(outputs([[9, 5, 1, 1], [9, 5, 4, 6]]), batch([1.0, 1.0], [3, 3]))
    assert loss[:, 1:].flatten().tolist() == pytest.approx([bce(3.0, True)] * 6)


def test_an_attempt_of_one_token_has_no_score_and_teaches_nothing() -> None:
    b, out = batch([1.0]), outputs([[9, 5, 1, 3]])
    b = replace(b, trained=torch.tensor([[False, True, False, False]]))
    loss, _ = OutcomeScore()(out, b)
    assert loss.tolist() == [[0, pytest.approx(math.log(2)), 0, 0]]
    assert out.values is not None
    assert not torch.autograd.grad(loss.sum(), out.values)[0].any()


def test_an_attempt_without_a_verdict_has_no_loss() -> None:
    loss, _ = OutcomeScore()(outputs([[9, 5, 1, 3]] * 2), batch([NAN, 1.0]))
    assert not loss[0].any() and loss[1, 1] > 0


def test_large_scores_stay_finite() -> None:
    loss, _ = OutcomeScore()(outputs([[0, 0, 1e4, 1e4]] * 2), batch([0.0, 1.0]))
    assert loss[:, 1].tolist() == [1e4, 0.0]


@given(st.integers(0, 20), st.floats(-3, 3))
def test_what_the_prompt_scores_does_not_count(seed: int, shift: float) -> None:
    b = example_batch(seed)
    out = example_outputs(b, seed)
    assert out.values is not None
    first = b.trained & (b.trained.cumsum(1) == 1)
    moved = replace(out, values=out.values + shift * first)
    assert torch.equal(OutcomeScore()(out, b)[0], OutcomeScore()(moved, b)[0])


def test_an_unknown_term_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'right', and the batch has \['correct'\]"):
        OutcomeScore("right")(outputs([[0, 0, 0, 0]]), batch([1.0]))
