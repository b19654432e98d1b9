"""The KL as a loss: numbers, and what its gradient is in expectation over a vocabulary of five."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace

import pytest
import torch
from helpers.examples import attempt, group, row
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from whet.advantages.group_mean import GroupMean
from whet.advantages.minus_kl import MinusKL
from whet.advantages.plain import Plain
from whet.batching import collate
from whet.contracts import check_objective
from whet.examples import example_batch, example_outputs
from whet.objectives.clip import Clip
from whet.objectives.kl import KL
from whet.objectives.reinforce import Reinforce
from whet.objectives.with_kl import WithKL
from whet.rewards.kl import KLPenalty
from whet.schedule import Linear, at
from whet.scoring import Weighted
from whet.stages.learning import Auxiliary, Train
from whet.types import Batch, Outputs

FIVE = [0.3, -0.5, 1.0, 0.1, -1.2]
TEACHER = torch.tensor([0.0, 0.9, 0.2, -1.0, 0.4], dtype=torch.float64).log_softmax(-1)
OLD = torch.tensor([-0.4, 0.3, 0.2, 0.8, -0.1], dtype=torch.float64).log_softmax(-1)


def over(logprobs: Tensor, teacher: Tensor, old: Tensor | None = None) -> tuple[Outputs, Batch]:
    """One row whose token t is word t of the vocabulary: a sum over it that a distribution weighs is an expectation."""
    words = torch.ones(1, len(teacher), dtype=torch.float64)
    batch = Batch(
        tokens=torch.arange(len(teacher))[None],
        valid=words.bool(),
        trained=words.bool(),
        logprobs=(logprobs if old is None else old).detach()[None],
        advantages=0 * words,
        weights=words,
        temperature=torch.ones(1),
        trajectory=torch.zeros(1, dtype=torch.long),
        group=torch.zeros(1, dtype=torch.long),
        name=("direct",),
        model=("policy",),
        tracks={"teacher": teacher[None]},
    )
    return Outputs(logprobs[None], 0 * words), batch


def expected(objective: KL, old: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """The gradient by the five logits of the loss over tokens that `old` (else the policy) samples; those of
    KL(pi || teacher) and KL(teacher || pi)."""
    logits = torch.tensor(FIVE, dtype=torch.float64, requires_grad=True)
    logp = logits.log_softmax(-1)
    loss, _ = objective(*over(logp, TEACHER, old))
    sampler = (logp if old is None else old).exp().detach()
    to_teacher = (logp.exp() * (logp - TEACHER)).sum()
    from_teacher = (TEACHER.exp() * (TEACHER - logp)).sum()
    sums = ((sampler * loss[0]).sum(), to_teacher, from_teacher)
    found = [torch.autograd.grad(value, logits, retain_graph=True)[0] for value in sums]
    return found[0], found[1], found[2]


@pytest.mark.parametrize(
    ("d", "k1", "k2", "k3"), [(0.2, 0.2, 0.02, 0.018731), (0.0, 0.0, 0.0, 0.0), (-0.2, -0.2, 0.02, 0.021403)]
)
def test_the_three_estimates_of_a_difference_in_log_probability(d: float, k1: float, k2: float, k3: float) -> None:
    teacher = torch.full((1,), -1.0, dtype=torch.float64)
    for kind, value in (("k1", k1), ("k2", k2), ("k3", k3)):
        loss, told = KL(kind, "teacher")(*over(teacher + d, teacher))  # type: ignore[arg-type]
        assert loss.item() == pytest.approx(value, abs=5e-7) == told["kl"].item()


def test_in_expectation_k2_has_the_gradient_of_the_kl_to_the_teacher() -> None:
    found, to_teacher, _ = expected(KL("k2", "teacher"))
    assert torch.allclose(found, to_teacher, atol=1e-6) and to_teacher.abs().max() > 0.1


def test_in_expectation_k1_has_no_gradient() -> None:
    found, _, _ = expected(KL("k1", "teacher"))
    assert torch.allclose(found, torch.zeros(5, dtype=torch.float64), atol=1e-12)


def test_in_expectation_k3_has_the_gradient_of_the_kl_from_the_teacher_and_not_of_that_to_it() -> None:
    found, to_teacher, from_teacher = expected(KL("k3", "teacher"))
    assert torch.allclose(found, from_teacher, atol=1e-6)
    assert not torch.allclose(found, to_teacher, atol=0.05)


@pytest.mark.parametrize("kind", ["k1", "k2", "k3"])
def test_off_policy_the_ratio_keeps_the_gradient_and_without_it_the_gradient_is_another(kind) -> None:
    """Tokens of an older policy, as in the second epoch over a batch."""
    on_policy = expected(KL(kind, "teacher"))[0]
    assert torch.allclose(expected(KL(kind, "teacher"), OLD)[0], on_policy, atol=1e-6)
    assert not torch.allclose(expected(KL(kind, "teacher", ratio=False), OLD)[0], on_policy, atol=0.05)


def test_before_the_first_update_the_ratio_changes_nothing() -> None:
    for kind in ("k1", "k2", "k3"):
        assert torch.equal(expected(KL(kind, "teacher"))[0], expected(KL(kind, "teacher", ratio=False))[0])


@given(st.lists(st.floats(-6, 6), min_size=5, max_size=5), st.lists(st.floats(-6, 6), min_size=5, max_size=5))
def test_k1_and_k3_are_the_kl_in_expectation_and_k2_and_k3_never_below_0(mine: list[float], other: list[float]) -> None:
    logp, teacher = (torch.tensor(x, dtype=torch.float64).log_softmax(-1) for x in (mine, other))
    for kind in ("k1", "k2", "k3"):
        loss, _ = KL(kind, "teacher")(*over(logp, teacher))
        assert kind == "k1" or bool((loss >= -1e-12).all())
        if kind != "k2":
            assert float((logp.exp() * loss).sum()) == pytest.approx(float((logp.exp() * (logp - teacher)).sum()))


@given(st.lists(st.floats(-20, 20), min_size=5, max_size=5))
def test_a_student_that_is_its_teacher_learns_nothing(logits: list[float]) -> None:
    leaf = torch.tensor(logits, dtype=torch.float64).log_softmax(-1).requires_grad_()
    for kind in ("k2", "k3"):
        loss, _ = KL(kind, "teacher")(*over(leaf, leaf.detach()))
        assert not loss.any() and not torch.autograd.grad(loss.sum(), leaf)[0].any()


# -- the same on the side of the reward -------------------------------------------------------------------------------


def tried(per_token: int) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Log-probs [5] of a policy; five attempts of `per_token` trained tokens each, with the policy's log-probs and the
    teacher's."""
    logp = torch.tensor(FIVE).log_softmax(-1)
    words = [(torch.arange(per_token) + g) % 5 for g in range(5)]
    return logp, [logp[w] for w in words], [TEACHER.float()[w] for w in words]


def played(per_token: int):
    """A group of these five attempts, each behind one token of prompt."""
    _, mine, teacher = tried(per_token)
    one = torch.zeros(1)
    rows = [row([9, *[1] * per_token], [0, *[1] * per_token]) for _ in mine]
    rows = [replace(r, logprobs=torch.cat([one, m])) for r, m in zip(rows, mine, strict=True)]
    return group(*(attempt(r, tracks={"teacher": torch.cat([one, t])}) for r, t in zip(rows, teacher, strict=True)))


async def rewarded(per_token: int, reward: Weighted):
    return await reward({}, played(per_token))


def slopes(objective, batch: Batch) -> Tensor:
    """[B, T]: the gradient by the log-probs, before any update."""
    leaf = batch.logprobs.clone().requires_grad_()
    loss, _ = objective(Outputs(leaf, torch.zeros_like(leaf)), batch)
    return torch.autograd.grad(loss.sum(), leaf)[0]


@pytest.mark.parametrize("objective", [Clip(), Reinforce()], ids=repr)
def test_in_the_advantage_it_has_token_by_token_the_gradient_of_k2_in_the_loss(objective) -> None:
    def pays(g) -> Tensor:
        return torch.tensor([1.0, 0.0, 0.0, 1.0, 0.0])

    scored = asyncio.run(rewarded(3, Weighted({"correct": pays})))
    plain = collate([scored], GroupMean()([scored]))
    in_reward = collate([scored], MinusKL(GroupMean(), coef=0.05, track="teacher")([scored]))
    in_loss = slopes(objective, plain) + 0.05 * slopes(KL("k2", "teacher"), plain)
    assert torch.allclose(slopes(objective, in_reward), in_loss, atol=1e-6)
    assert not torch.allclose(slopes(objective, plain), in_loss, atol=1e-3)


def test_as_a_reward_of_one_token_it_has_in_expectation_the_gradient_of_k2_in_the_loss() -> None:
    """The five attempts are the five words: weighted with their probabilities their gradients are the expected one."""
    scored = asyncio.run(rewarded(1, Weighted({"teacher": KLPenalty("k1", "teacher")}, weights={"teacher": 0.05})))
    logp = tried(1)[0]
    batch = collate([scored], Plain()([scored]))
    slope = slopes(Reinforce(), batch)[:, 1]  # d loss / d log pi of word g
    gradient = ((logp.exp() * slope)[:, None] * (torch.eye(5) - logp.exp())).sum(0)  # by the logits
    assert torch.allclose(gradient.double(), 0.05 * expected(KL("k2", "teacher"))[1], atol=1e-6)


# -- beside another loss ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["k1", "k2", "k3"])
def test_a_leash_is_an_objective_and_the_kl_without_a_ratio(kind) -> None:
    batch = example_batch(3)
    outputs = example_outputs(batch, 3)
    whole, told = WithKL(Clip(), coef=0.5, kind=kind)(outputs, batch)
    loss, own = KL(kind, ratio=False)(outputs, batch)
    assert torch.equal(whole, Clip()(outputs, batch)[0] + 0.5 * loss) and torch.equal(told["kl"], own["kl"])


def test_beta_falls_in_a_line_to_its_least_value_and_stays_there() -> None:
    """max(0.001, 0.005 - 5e-5 * s)"""
    beta = Linear(0.005, 0.001, 80)
    assert [beta.value(s) for s in (0, 40, 80, 200)] == pytest.approx([0.005, 0.003, 0.001, 0.001])
    train = Train(Clip(), auxiliary={"teacher": Auxiliary(KL("k2", "teacher"), weight=beta)})
    assert at(train, 40).auxiliary["teacher"].weight == pytest.approx(0.003)


def test_far_apart_is_cut_off_at_20_nats() -> None:
    far = torch.tensor([-60.0], dtype=torch.float64)
    for kind, value in (("k1", 20.0), ("k2", 200.0), ("k3", math.exp(-20) + 19)):
        assert KL(kind, "teacher")(*over(far + 60, far))[0].item() == pytest.approx(value)  # type: ignore[arg-type]


def test_what_can_not_be_is_refused() -> None:
    with pytest.raises(ValueError, match=r"KL\.kind"):
        KL("k4")  # type: ignore[arg-type]
    outputs, batch = over(TEACHER, TEACHER)
    with pytest.raises(ValueError, match="Logprobs"):
        KL(track="other")(outputs, batch)


def test_only_without_a_ratio_is_the_gradient_that_of_the_loss() -> None:
    assert not KL().exact_gradient and KL(ratio=False).exact_gradient
    check_objective(KL("k1"))
