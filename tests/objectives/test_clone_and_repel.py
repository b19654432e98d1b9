"""Right replies are cloned, wrong ones repelled, each token by its weight."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from whet.contracts import check_objective
from whet.objectives.clone_and_repel import CloneAndRepel
from whet.objectives.kl import KL
from whet.objectives.reinforce import Reinforce
from whet.types import Batch, Outputs
from whet.weightings.by_outcome import ByOutcome

TRACKS = ("weight/right", "weight/wrong")
LOGP = [[-9.0, -1.0, -2.0], [-9.0, -3.0, -4.0]]


def batch(credit: tuple[float, float] = (2.0, -2.0), **more: object) -> Batch:
    """A right and a wrong reply of two tokens each, behind a prompt of one."""
    trained = torch.tensor([[0, 1, 1], [0, 1, 1]], dtype=torch.bool)
    whole = Batch(
        tokens=torch.ones(2, 3, dtype=torch.long),
        valid=torch.ones(2, 3, dtype=torch.bool),
        trained=trained,
        logprobs=torch.tensor(LOGP),
        advantages=torch.tensor(credit)[:, None] * trained,
        weights=torch.zeros(2, 3),
        temperature=torch.ones(2),
        trajectory=torch.arange(2),
        group=torch.zeros(2, dtype=torch.long),
        name=("direct",) * 2,
        model=("policy",) * 2,
        tracks={
            "weight/right": torch.tensor([[7, 0.5, 0.25], [7, 9, 9]]),
            "weight/wrong": torch.tensor([[7, 9, 9], [7, 0.0, 1.0]]),
        },
        terms={"correct": torch.tensor([1.0, 0.0])},
    )
    return replace(whole, **more)  # type: ignore[arg-type]


def outputs() -> Outputs:
    logprobs = torch.tensor(LOGP).requires_grad_()
    return Outputs(logprobs, torch.zeros(2, 3))


def test_the_contract_holds_with_the_tracks_of_a_reward_model() -> None:
    check_objective(CloneAndRepel(), tracks=TRACKS)


def test_right_tokens_have_a_weighted_likelihood_and_wrong_ones_a_weighted_ratio_of_one() -> None:
    out = outputs()
    loss, told = CloneAndRepel()(out, batch())
    # right: A w+ NLL = 2 * .5 * 1 and 2 * .25 * 2; wrong: -A w- * 1 = 2 * 0 and 2 * 1
    assert loss.tolist() == [[0, 1, 1], [0, 0, 2]]
    (slope,) = torch.autograd.grad(loss.sum(), out.logprobs)
    assert slope.tolist() == [[0, -1, -0.5], [0, 0, 2]]
    assert told["clone/nll"][0].tolist()[1:] == [1, 2] and told["clone/nll"][1].isnan().all()
    assert told["repel/weight"][1].tolist()[1:] == [0, 1] and told["repel/weight"][0].isnan().all()


def test_the_ratio_is_one_in_value_and_logs_another_loss_than_the_log_probability() -> None:
    """The gradient is REINFORCE's on both sides, the value of the wrong side is not."""
    ours, theirs = outputs(), outputs()
    mine, _ = CloneAndRepel(track=None)(ours, batch())
    other, _ = Reinforce()(theirs, batch())
    slopes = [torch.autograd.grad(loss.sum(), of.logprobs)[0] for loss, of in ((mine, ours), (other, theirs))]
    assert torch.equal(*slopes)
    assert torch.equal(mine[0], other[0])
    assert mine[1].tolist() == [0, 2, 2] and other[1].tolist() == [0, -6, -8]


def test_the_whole_loss_is_the_papers() -> None:
    """[sum over right of A w+ NLL] / right tokens - 0.5 [sum over wrong of A w-] / wrong tokens + 0.01 mean k3."""
    reference = torch.tensor([[0.0, -1.0, -1.5], [0.0, -3.0, -5.0]])
    b = batch(tracks={**batch().tracks, "reference": reference})
    loss, _ = CloneAndRepel()(outputs(), b)
    leash, _ = KL("k3", ratio=False)(outputs(), b)
    found = float(((loss * ByOutcome(wrong=0.5)(b)).sum() + 0.01 * leash.sum() / 4).detach())
    k = [math.exp(d) - d - 1 for d in (0.0, 0.5, 0.0, -1.0)]
    assert found == pytest.approx((1 + 1) / 2 + 0.5 * (0 + 2) / 2 + 0.01 * sum(k) / 4)


@pytest.mark.parametrize("right", [0.0, 1.0])
def test_a_side_without_tokens_makes_no_nan(right: float) -> None:
    b = batch(terms={"correct": torch.tensor([right, right])})
    out = outputs()
    loss, told = CloneAndRepel()(out, b)
    total = (loss * ByOutcome()(b)).sum()
    assert bool(total.isfinite()) and bool(torch.autograd.grad(total, out.logprobs)[0].isfinite().all())
    silent = "repel/weight" if right else "clone/weight"
    assert told[silent].isnan().all()  # a metric that speaks of no token


@given(st.floats(-4, 4), st.floats(0, 1))
def test_the_gradient_is_minus_advantage_times_weight(credit: float, weight: float) -> None:
    tracks = {name: torch.full((2, 3), weight) for name in TRACKS}
    out = outputs()
    loss, _ = CloneAndRepel()(out, batch((credit, credit), tracks=tracks))
    (slope,) = torch.autograd.grad(loss.sum(), out.logprobs)
    assert slope[:, 1:].flatten().tolist() == pytest.approx([-credit * weight] * 4, abs=1e-5)


def test_missing_tracks_and_terms_are_named() -> None:
    with pytest.raises(ValueError, match="TokenWeights"):
        CloneAndRepel()(outputs(), batch(tracks={}))
    with pytest.raises(ValueError, match=r"'right', and the batch has \['correct'\]"):
        CloneAndRepel("right")(outputs(), batch())
