"""GPPO: the values of Clip-Higher, with a bounded gradient where it has none."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from whet.contracts import check_objective
from whet.examples import example_batch, example_outputs
from whet.objectives.cispo import Cispo
from whet.objectives.clip import Clip
from whet.objectives.gradient_preserving import GradientPreservingClip
from whet.types import Batch, Objective, Outputs


def laid(ratios: list[float], advantages: list[float], dtype: torch.dtype = torch.float64) -> tuple[Outputs, Batch]:
    """One row: a prompt token that nobody may look at, then a trained token for each ratio of new to old policy."""
    count = len(ratios) + 1
    trained = torch.ones(1, count, dtype=torch.bool).index_fill(1, torch.tensor([0]), False)
    old = torch.tensor([[math.nan] + [-1.0] * len(ratios)], dtype=dtype)
    batch = Batch(
        tokens=torch.ones(1, count, dtype=torch.long),
        valid=torch.ones(1, count, dtype=torch.bool),
        trained=trained,
        logprobs=old,
        advantages=torch.tensor([[9.0, *advantages]], dtype=dtype),
        weights=trained.to(dtype),
        temperature=torch.ones(1),
        trajectory=torch.zeros(1, dtype=torch.long),
        group=torch.zeros(1, dtype=torch.long),
        name=("direct",),
        model=("policy",),
    )
    new = old + torch.tensor([[0.0] + [math.log(ratio) for ratio in ratios]], dtype=dtype)
    return Outputs(new.requires_grad_(), torch.zeros(1, count, dtype=dtype)), batch


def told(objective: Objective, outputs: Outputs, batch: Batch) -> tuple[list[float], list[float], dict[str, Any]]:
    """Loss, gradient and metrics of the trained tokens; both are 0 on the prompt."""
    loss, metrics = objective(outputs, batch)
    slope = torch.autograd.grad(loss.sum(), outputs.logprobs)[0]
    assert loss[0, 0] == slope[0, 0] == 0
    return loss[0, 1:].tolist(), slope[0, 1:].tolist(), {name: value[0, 1:].tolist() for name, value in metrics.items()}


DUAL = GradientPreservingClip(0.2, 0.28, dual=3.0)


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "slope"),
    [
        (1.5, 1.0, -1.28, -1.28),
        (0.5, -1.0, 0.8, 0.8),
        (1.5, -1.0, 1.5, 1.5),
        (0.5, 1.0, -0.5, -0.5),
        (4.0, -1.0, 3.0, 0.0),
        (1.0, 2.0, -2.0, -2.0),
        (1.5, 0.0, 0.0, 0.0),
        (0.5, 0.0, 0.0, 0.0),
    ],
)
def test_value_and_gradient_by_hand(ratio: float, advantage: float, loss: float, slope: float) -> None:
    found = told(DUAL, *laid([ratio], [advantage]))[:2]
    assert found == ([pytest.approx(loss)], [pytest.approx(slope)])


def test_the_vanilla_clip_has_no_gradient_where_this_one_has() -> None:
    far = laid([1.5, 0.5], [1.0, -1.0])
    assert told(Clip(0.2, 0.28), *far)[1] == [0, 0]
    assert told(GradientPreservingClip(), *far)[1] == pytest.approx([-1.28, 0.8])


@pytest.mark.parametrize("dual", [None, 3.0])
@given(st.lists(st.tuples(st.floats(0.01, 20), st.floats(-3, 3)), min_size=1, max_size=8))
def test_the_value_is_always_that_of_clip_higher(dual: float | None, tokens: list[tuple[float, float]]) -> None:
    ratios, advantages = [ratio for ratio, _ in tokens], [advantage for _, advantage in tokens]
    ours, clip = GradientPreservingClip(dual=dual, beta_low=0.3), Clip(0.2, 0.28, dual=dual)
    assert told(ours, *laid(ratios, advantages))[0] == pytest.approx(told(clip, *laid(ratios, advantages))[0])


@given(st.lists(st.tuples(st.floats(0.01, 20), st.floats(-3, 3)), min_size=1, max_size=8))
def test_without_betas_it_is_clip_in_the_gradient_too(tokens: list[tuple[float, float]]) -> None:
    ratios, advantages = [ratio for ratio, _ in tokens], [advantage for _, advantage in tokens]
    ours = told(GradientPreservingClip(beta_low=0.0, beta_high=0.0), *laid(ratios, advantages))
    clip = told(Clip(0.2, 0.28), *laid(ratios, advantages))
    assert ours[1] == pytest.approx(clip[1])
    assert ours[2]["gradient/clipped"] == clip[2]["gradient/clipped"] == [0] * len(tokens)


def test_each_beta_scales_the_gradient_on_its_side() -> None:
    objective = GradientPreservingClip(beta_low=0.5, beta_high=0.25)
    loss, slope, _ = told(objective, *laid([1.5, 0.5, 1.1], [1.0, -1.0, 1.0]))
    assert loss == pytest.approx([-1.28, 0.8, -1.1])
    assert slope == pytest.approx([-0.25 * 1.28, 0.5 * 0.8, -1.1])


def test_on_policy_nothing_is_clipped_and_it_is_grpo() -> None:
    at_one = laid([1.0] * 3, [2.0, -1.0, 0.0])
    assert told(GradientPreservingClip(), *at_one)[:2] == told(Clip(0.2, 0.28), *at_one)[:2]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_a_vanishing_ratio_keeps_a_finite_gradient_in_any_precision(dtype: torch.dtype) -> None:
    outputs, batch = laid([1.0, 1.0], [-1.0, 1.0], dtype)
    gone = replace(outputs, logprobs=torch.tensor([[math.nan, -300.0, 250.0]], dtype=dtype, requires_grad=True))
    loss, slope, _ = told(GradientPreservingClip(), gone, batch)
    assert loss == pytest.approx([0.8, -1.28], rel=1e-2)
    assert slope == pytest.approx([0.8, -1.28], rel=1e-2)


@pytest.mark.parametrize(
    "objective",
    [
        DUAL,
        GradientPreservingClip(beta_low=0.5, beta_high=2.0),
        GradientPreservingClip(low=2.0, high=math.inf),
        GradientPreservingClip(0.0, 0.0),
    ],
    ids=repr,
)
def test_every_variant_keeps_its_contract(objective: GradientPreservingClip) -> None:
    check_objective(objective)


@pytest.mark.parametrize(
    "objective", [DUAL, GradientPreservingClip(), Clip(), Clip(dual=3.0), Cispo(low=0.2, high=0.2)]
)
@pytest.mark.parametrize("seed", range(3))
def test_the_gradient_metrics_are_the_gradient(objective: Objective, seed: int) -> None:
    batch = example_batch(seed)
    outputs = example_outputs(replace(batch, logprobs=batch.logprobs * 2), seed)
    outputs.logprobs.requires_grad_()
    loss, metrics = objective(outputs, batch)
    size = torch.autograd.grad(loss.sum(), outputs.logprobs)[0].abs()
    assert torch.allclose(metrics["gradient/all"], size)
    assert metrics["clip_fraction"].any()
    share = metrics["gradient/clipped"].sum() / metrics["gradient/all"].sum()
    expected = size[metrics["clip_fraction"] > 0].sum() / size.sum()
    assert share.item() == pytest.approx(expected.item())
    assert (share.item() == 0) == isinstance(objective, Clip)


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        ({"low": -0.1}, "GradientPreservingClip.low"),
        ({"beta_high": -1.0}, "GradientPreservingClip.beta_high"),
        ({"dual": 1.0}, "above 1"),
    ],
)
def test_wrong_numbers_are_refused(made: dict[str, float], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        GradientPreservingClip(**made)
