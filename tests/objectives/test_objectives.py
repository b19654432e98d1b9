"""Each objective on a token or two, by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from whet.contracts import check_objective
from whet.objectives.cispo import Cispo
from whet.objectives.clip import Clip
from whet.objectives.gspo import Gspo
from whet.objectives.likelihood import Likelihood
from whet.objectives.plus import Plus
from whet.objectives.reinforce import Reinforce
from whet.objectives.truncated import Truncated
from whet.objectives.value import Value
from whet.objectives.with_entropy import WithEntropy
from whet.objectives.with_kl import WithKL
from whet.types import Batch, Outputs

VARIANTS = [
    Clip(0.2, 0.28, dual=3.0),
    Clip(low=2.0, high=math.inf),
    Cispo(low=0.1, high=0.1),
    Gspo(low=0.2, high=0.2),
    Value(clip=0.2),
    Truncated(Gspo(), mode="mask", low=0.5, cap=5.0),
    Truncated(Reinforce(), cap=1.0),
    WithKL(kind="k1"),
    WithKL(Cispo(), kind="k2", coef=1.0),
    WithKL(WithEntropy(Truncated(Clip()), coef=-0.1), coef=0.5),
    Plus({"direct": WithEntropy(), "demonstration": Gspo(), "hint": Reinforce()}),
    Plus({"direct": Value(clip=0.1), "demonstration": Truncated(Likelihood())}),
]


@pytest.mark.parametrize("objective", VARIANTS, ids=repr)
def test_every_variant_keeps_its_contract(objective) -> None:
    check_objective(objective)


def one(
    ratio: float = 1.0, advantage: float = 1.0, mismatch: float = 1.0, name: str = "direct", **more: object
) -> tuple[Outputs, Batch]:
    """One trained token (of two): `ratio` is new over old policy, `mismatch` old over engine."""
    behaviour = torch.tensor([[math.nan, -1.0]])
    proximal = behaviour + math.log(mismatch)
    ones = torch.tensor([[0, 1.0]])
    batch = Batch(
        tokens=torch.tensor([[1, 2]]),
        valid=torch.ones(1, 2, dtype=torch.bool),
        trained=ones.bool(),
        logprobs=behaviour,
        advantages=advantage * ones,
        weights=ones,
        temperature=torch.ones(1),
        trajectory=torch.zeros(1, dtype=torch.long),
        group=torch.zeros(1, dtype=torch.long),
        name=(name,),
        model=("policy",),
        proximal=proximal,
        **more,  # type: ignore[arg-type]
    )
    return Outputs((proximal + math.log(ratio)).requires_grad_(), torch.tensor([[math.nan, 2.0]])), batch


def loss_and_slope(objective, outputs: Outputs, batch: Batch) -> tuple[float, float]:
    loss, _ = objective(outputs, batch)
    assert loss[0, 0] == 0
    slope = torch.autograd.grad(loss.sum(), outputs.logprobs)[0]
    assert slope[0, 0] == 0
    return float(loss[0, 1].detach()), float(slope[0, 1])


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "slope"),
    [
        (1.0, 2.0, -2.0, -2.0),
        (1.1, 1.0, -1.1, -1.1),
        (1.5, 1.0, -1.28, 0.0),
        (1.5, -1.0, 1.5, 1.5),
        (0.5, 1.0, -0.5, -0.5),
        (0.5, -1.0, 0.8, 0.0),
        (9.0, -1.0, 3.0, 0.0),
    ],
)
def test_clip_takes_the_worse_of_two_and_dual_clip_bounds_it(ratio, advantage, loss, slope) -> None:
    found = loss_and_slope(Clip(0.2, 0.28, dual=3.0), *one(ratio, advantage))
    assert found == (pytest.approx(loss, rel=1e-5), pytest.approx(slope, rel=1e-5))


def test_without_dual_clip_a_runaway_ratio_is_not_bounded() -> None:
    assert loss_and_slope(Clip(), *one(9.0, -1.0))[0] == pytest.approx(9.0, rel=1e-5)


def test_clip_counts_only_the_tokens_that_it_stops() -> None:
    for ratio, advantage, clipped in [(1.5, 1.0, 1), (1.5, -1.0, 0), (0.5, -1.0, 1), (0.5, 1.0, 0), (1.0, 1.0, 0)]:
        assert Clip()(*one(ratio, advantage))[1]["clip_fraction"].tolist() == [[0, clipped]]


def test_a_ratio_can_not_overflow() -> None:
    outputs, batch = one()
    far = replace(outputs, logprobs=torch.tensor([[0.0, 200.0]], requires_grad=True))
    for objective in (Clip(dual=3.0), Cispo(), Gspo(), WithKL(track="r"), Reinforce(), Truncated()):
        loss, metrics = objective(far, replace(batch, advantages=-batch.advantages, tracks={"r": batch.logprobs}))
        assert loss.isfinite().all()
        assert all(value.isfinite().all() for value in metrics.values())


def test_cispo_bounds_the_weight_and_keeps_the_gradient() -> None:
    assert loss_and_slope(Cispo(high=0.5), *one(3.0, 2.0))[1] == pytest.approx(-1.5 * 2, rel=1e-5)
    assert loss_and_slope(Cispo(), *one(0.1, 2.0))[1] == pytest.approx(-0.1 * 2, rel=1e-5)
    assert loss_and_slope(Cispo(low=0.2), *one(0.1, 2.0))[1] == pytest.approx(-0.8 * 2, rel=1e-5)


def test_reinforce_is_advantage_times_log_probability() -> None:
    assert loss_and_slope(Reinforce(), *one(1.0, 0.5)) == (0.5, -0.5)


def test_likelihood_looks_at_no_advantage() -> None:
    assert loss_and_slope(Likelihood(), *one(1.0, 0.0)) == (1.0, -1.0)


@given(st.floats(0.5, 2.0), st.floats(-2, 2))
def test_on_policy_the_ratio_losses_have_the_policy_gradient(mismatch: float, advantage: float) -> None:
    """At ratio 1 Clip, CISPO and GSPO all have the gradient of REINFORCE."""
    slopes = [loss_and_slope(f, *one(1.0, advantage, mismatch))[1] for f in (Reinforce(), Clip(), Cispo(), Gspo())]
    assert slopes == pytest.approx([-advantage] * 4, abs=1e-5)


def test_gspo_shares_one_ratio_over_all_rows_of_an_attempt() -> None:
    """Log-ratios 0.3 and 0 in one row, 0 in the other: their mean is 0.1 for all three tokens."""
    _, batch = one()
    trained = torch.tensor([[False, True, True], [False, False, True]])
    zeros, two = torch.zeros(2, 3), torch.zeros(2, dtype=torch.long)
    batch = replace(batch, trained=trained, logprobs=zeros, proximal=None, advantages=trained.float(), trajectory=two)
    moved = torch.tensor([[5.0, 0.3, 0.0], [5.0, 5.0, 0.0]], requires_grad=True)
    loss, metrics = Gspo(0.2, 0.2)(Outputs(moved, zeros), batch)
    assert torch.allclose(loss.detach(), -math.exp(0.1) * trained)
    assert torch.allclose(torch.autograd.grad(loss.sum(), moved)[0], -math.exp(0.1) * trained)
    loss, metrics = Gspo(0.2, 0.01)(Outputs(moved, zeros), batch)
    assert torch.allclose(loss.detach(), -1.01 * trained)
    assert torch.equal(metrics["clip_fraction"], trained.float())


def test_the_value_loss_is_half_the_squared_error_and_clips_steps() -> None:
    outputs, batch = one(targets=torch.tensor([[math.nan, 1.0]]), tracks={"values": torch.tensor([[math.inf, 0.0]])})
    near = replace(outputs, values=torch.tensor([[math.nan, 0.5]]))
    assert Value()(near, batch)[0].tolist() == [[0, 0.125]]
    assert Value(clip=0.25)(near, batch)[0].tolist() == [[0, 0.75**2 / 2]]
    assert Value(clip=0.25)(near, batch)[1]["value_clip_fraction"].tolist() == [[0, 1]]
    with pytest.raises(ValueError, match="targets"):
        Value()(near, replace(batch, targets=None))
    with pytest.raises(ValueError, match="Values"):
        Value(clip=0.1)(near, replace(batch, tracks={}))


@pytest.mark.parametrize(
    ("objective", "mismatch", "weight"),
    [
        (Truncated(Reinforce(), cap=2.0), 1.5, 1.5),
        (Truncated(Reinforce(), cap=2.0), 3.0, 2.0),
        (Truncated(Reinforce(), cap=2.0), 0.1, 0.1),
        (Truncated(Reinforce(), cap=2.0, low=0.5), 0.1, 0.5),
        (Truncated(Reinforce(), cap=5.0, mode="mask", low=0.5), 3.0, 3.0),
        (Truncated(Reinforce(), cap=5.0, mode="mask", low=0.5), 6.0, 0.0),
        (Truncated(Reinforce(), cap=5.0, mode="mask", low=0.5), 0.4, 0.0),
    ],
)
def test_truncated_weighs_what_the_engine_sampled(objective, mismatch: float, weight: float) -> None:
    outputs, batch = one(1.0, 1.0, mismatch)
    assert loss_and_slope(objective, outputs, batch)[1] == pytest.approx(-weight, rel=1e-5)
    cut = objective(outputs, batch)[1]["mismatch_cut_fraction"]
    assert cut.tolist() == [[0, float(weight != mismatch)]]


def test_truncated_takes_the_inner_ratio_against_the_proximal_policy() -> None:
    """Engine 1, learner before 2, learner now 2 * 1.1: the weight is 2 and the ratio 1.1."""
    assert loss_and_slope(Truncated(Clip(), cap=3.0), *one(1.1, 1.0, 2.0))[0] == pytest.approx(-2.2, rel=1e-5)
    assert Truncated(WithEntropy()).needs == ("proximal", "entropy")
    outputs, batch = one()
    with pytest.raises(ValueError, match="proximal"):
        Truncated()(outputs, replace(batch, proximal=None))


@pytest.mark.parametrize(
    ("kind", "k", "slope"),
    [("k1", -math.log(2), 1.0), ("k2", math.log(2) ** 2 / 2, -math.log(2)), ("k3", 1 - math.log(2), -1.0)],
)
def test_kl_estimates_where_the_reference_is_twice_as_likely(kind, k: float, slope: float) -> None:
    outputs, batch = one(advantage=0.0, tracks={"reference": torch.tensor([[math.nan, -1.0 + math.log(2)]])})
    objective = WithKL(Reinforce(), coef=0.1, kind=kind)
    assert loss_and_slope(objective, outputs, batch) == (pytest.approx(0.1 * k), pytest.approx(0.1 * slope))
    assert objective(outputs, batch)[1]["kl"][0, 1].item() == pytest.approx(k)
    with pytest.raises(ValueError, match="Logprobs"):
        objective(outputs, replace(batch, tracks={}))


def test_kl_losses_have_the_expected_gradients_that_are_claimed() -> None:
    """Over a whole vocabulary, weighted by the policy: k1 gives 0, k2 KL(pi|ref), k3 KL(ref|pi)."""
    logits = torch.tensor([0.3, -0.5, 1.0, 0.1], dtype=torch.float64, requires_grad=True)
    reference = torch.tensor([0.0, 0.4, 0.2, -1.0], dtype=torch.float64).log_softmax(-1)
    _, batch = one()
    four = torch.ones(1, 4, dtype=torch.float64)
    batch = replace(batch, trained=four.bool(), logprobs=0 * four, advantages=0 * four, proximal=None)
    batch = replace(batch, tracks={"reference": reference[None]})
    logp = logits.log_softmax(-1)
    policy = logp.exp().detach()

    def expected_slope(kind) -> torch.Tensor:
        loss, _ = WithKL(Reinforce(), coef=1.0, kind=kind)(Outputs(logp[None], 0 * four), batch)
        return torch.autograd.grad((policy * loss).sum(), logits, retain_graph=True)[0]

    forward = torch.autograd.grad((logp.exp() * (logp - reference)).sum(), logits, retain_graph=True)[0]
    reverse = torch.autograd.grad((reference.exp() * (reference - logp)).sum(), logits, retain_graph=True)[0]
    assert torch.allclose(expected_slope("k1"), torch.zeros(4, dtype=torch.float64))
    assert torch.allclose(expected_slope("k2"), forward)
    assert torch.allclose(expected_slope("k3"), reverse)


def test_entropy_is_a_bonus() -> None:
    outputs, batch = one(advantage=0.0)
    assert WithEntropy(Reinforce(), coef=0.1)(outputs, batch)[0].tolist() == [[0, pytest.approx(-0.2)]]
    assert WithEntropy(Reinforce()).needs == ("entropy",)


def test_plus_chooses_by_group_name() -> None:
    objective = Plus({"direct": Reinforce(), "demonstration": Likelihood()})
    assert loss_and_slope(objective, *one(advantage=3.0))[1] == -3.0
    assert loss_and_slope(objective, *one(advantage=3.0, name="demonstration"))[1] == -1.0
    metrics = objective(*one(name="demonstration"))[1]
    assert metrics["demonstration/nll"][0, 1] == 1.0
    assert metrics["direct/ratio"].isnan().all()
    with pytest.raises(ValueError, match="hint"):
        objective(*one(name="hint"))
    with pytest.raises(ValueError, match="empty"):
        Plus({})


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Clip(low=-0.1), "Clip.low"),
        (lambda: Clip(dual=1.0), "above 1"),
        (lambda: Cispo(high=-1.0), "Cispo.high"),
        (lambda: Gspo(high=math.nan), "Gspo.high"),
        (lambda: Value(clip=-1.0), "Value.clip"),
        (lambda: Truncated(mode="drop"), "mask"),  # type: ignore[arg-type]
        (lambda: Truncated(low=3.0), "above cap"),
        (lambda: WithKL(kind="kl"), "k3"),  # type: ignore[arg-type]
        (lambda: WithKL(coef=-1.0), "WithKL.coef"),
    ],
)
def test_wrong_numbers_are_refused_before_any_work(make, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        make()
