"""Losses on texts that are better or worse, against the formulas written out with their sums."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from helpers.examples import attempt, group, row, scored
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

from whet.batching import collate
from whet.objectives.bradley_terry import BradleyTerry
from whet.objectives.pair_logistic import PairLogistic
from whet.objectives.pair_square import PairSquare
from whet.objectives.prospect import Prospect
from whet.types import Batch, Credit, Objective, Outputs
from whet.weightings.sequence_mean import SequenceMean

# Two pairs: (chosen, rejected) texts of these numbers of tokens behind a prompt of two.
LENGTHS = [(3, 1), (2, 4)]
PI = [((-1.0, -0.5, -0.25), (-2.0,)), ((-0.5, -1.5), (-1.0, -0.25, -0.5, -0.75))]
REF = [((-1.5, -1.0, -0.5), (-1.0,)), ((-0.5, -1.0), (-0.5, -0.25, -1.5, -0.25))]
RATIOS = [(1.25, -1.0), (-0.5, 0.0)]  # log pi - log pi_ref of each text, by hand
MARGINS = [2.25, -0.5]


def batch(pairs: bool = True, per_token: bool = False) -> Batch:
    """The texts behind a prompt, with a spare token on the right of the shorter ones: pairs, or each by itself."""
    groups, credit = [], []
    for p, lengths in enumerate(LENGTHS):
        rows = [row([1, 2, *range(3, 3 + n)], [0, 0] + [1] * n) for n in lengths]
        signs = [
            s * r.trained.float() / (r.trained.sum() if per_token else 1) for s, r in zip((1, -1), rows, strict=True)
        ]
        attempts = [attempt(*rows)] if pairs else [attempt(r) for r in rows]
        groups.append(scored(group(*attempts, slot=p), [0.0] * len(attempts)))
        credit.append([torch.cat(signs)] if pairs else signs)
    made = collate(groups, Credit(credit))
    tracks = {"reference": laid(REF)}
    made = replace(made, tracks=tracks, weights=SequenceMean()(made).double())
    return replace(made, advantages=made.advantages.double())


def laid(texts: list[tuple[tuple[float, ...], tuple[float, ...]]]) -> Tensor:
    """[4, 6]: numbers of the texts' tokens; NaN elsewhere, where nobody may look."""
    out = torch.full((4, 6), math.nan, dtype=torch.float64)
    for i, values in enumerate(values for pair in texts for values in pair):
        out[i, 2 : 2 + len(values)] = torch.tensor(values, dtype=torch.float64)
    return out


def run(objective: Objective, made: Batch, **outputs: Tensor) -> tuple[float, Tensor, dict[str, float]]:
    """The loss, its gradient for what is put in (or the log-probs), and each metric's mean over where it speaks."""
    fields: dict[str, Any] = {"logprobs": laid(PI), "entropy": torch.zeros(4, 6)} | outputs
    leaf = next(iter(outputs), "logprobs")
    fields[leaf] = fields[leaf].clone().requires_grad_()
    loss, metrics = objective(Outputs(**fields), made)
    total = (loss * made.weights).sum()
    (gradient,) = torch.autograd.grad(total, fields[leaf])
    told = {name: float(value[made.trained].nanmean()) for name, value in metrics.items()}
    return total.item(), gradient, told


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


# --- DPO


def test_dpo_is_minus_log_sigmoid_of_beta_times_the_margin() -> None:
    loss, _, told = run(PairLogistic(beta=0.5), batch())
    assert loss == pytest.approx(-sum(math.log(sigmoid(0.5 * m)) for m in MARGINS) / 2, rel=1e-6)
    assert loss == pytest.approx((0.2811501362 + 0.8259394199) / 2, rel=1e-6)
    assert told["accuracy"] == 0.5
    assert told["reward/margin"] == pytest.approx(0.5 * (2.25 - 0.5) / 2)
    assert told["reward/chosen"] == pytest.approx(0.5 * (1.25 - 0.5) / 2)
    assert told["reward/rejected"] == pytest.approx(0.5 * (-1.0 + 0.0) / 2)
    assert told["logprob/chosen"] == pytest.approx((-1.75 - 2.0) / 2)
    assert told["logprob/rejected"] == pytest.approx((-2.0 - 2.5) / 2)


def test_a_policy_that_is_the_reference_has_a_loss_of_log_2_and_ties() -> None:
    loss, gradient, told = run(PairLogistic(beta=0.1), replace(batch(), tracks={"reference": laid(PI)}))
    assert loss == pytest.approx(math.log(2), rel=1e-6)
    assert told["accuracy"] == 0.5 and told["reward/margin"] == 0
    assert gradient[0, 2:5].tolist() == pytest.approx([-0.1 / 4] * 3)  # beta / 2, over two pairs


def test_the_gradient_of_dpo_is_that_of_its_formula() -> None:
    """-beta sigmoid(-beta m) on each chosen token, and plus that on each rejected one; over two pairs."""
    _, gradient, _ = run(PairLogistic(beta=0.5), batch())
    for p, margin in enumerate(MARGINS):
        slope = 0.5 * sigmoid(-0.5 * margin) / 2
        for side, sign in ((0, -1), (1, 1)):
            here = gradient[2 * p + side]
            assert here[2 : 2 + LENGTHS[p][side]].tolist() == pytest.approx([sign * slope] * LENGTHS[p][side], rel=1e-6)
    assert not gradient[~batch().trained].any()


def test_smoothing_mixes_the_loss_with_that_of_the_turned_label() -> None:
    loss, _, _ = run(PairLogistic(beta=0.5, smoothing=0.2), batch())
    each = [-0.8 * math.log(sigmoid(0.5 * m)) - 0.2 * math.log(sigmoid(-0.5 * m)) for m in MARGINS]
    assert loss == pytest.approx(sum(each) / 2, rel=1e-6)


def test_per_token_credit_makes_the_margin_a_difference_of_means() -> None:
    loss, _, _ = run(PairLogistic(beta=0.5), batch(per_token=True))
    margins = [1.25 / 3 - -1.0 / 1, -0.5 / 2 - 0.0 / 4]
    assert loss == pytest.approx(-sum(math.log(sigmoid(0.5 * m)) for m in margins) / 2, rel=1e-6)


def test_a_margin_far_out_gives_a_finite_loss_and_gradient() -> None:
    for sign in (1, -1):
        loss, gradient, _ = run(PairLogistic(beta=1.0), batch(), logprobs=laid(PI) + 1000 * sign * laid_signs())
        assert math.isfinite(loss) and bool(gradient.isfinite().all())


def laid_signs() -> Tensor:
    return torch.tensor([1.0, -1.0, 1.0, -1.0])[:, None]


# --- IPO


def test_ipo_is_the_square_of_the_margin_less_half_of_one_over_tau() -> None:
    loss, gradient, told = run(PairSquare(tau=0.25), batch())
    assert loss == pytest.approx(((2.25 - 2) ** 2 + (-0.5 - 2) ** 2) / 2)
    assert loss == pytest.approx(3.15625)
    assert gradient[0, 2:5].tolist() == pytest.approx([0.25] * 3)  # 2 (2.25 - 2), over two pairs
    assert gradient[1, 2].item() == pytest.approx(-0.25)
    assert gradient[2, 2:4].tolist() == pytest.approx([-2.5] * 2)
    assert gradient[3, 2:6].tolist() == pytest.approx([2.5] * 4)
    assert told["accuracy"] == 0.5 and told["reward/margin"] == pytest.approx(0.25 * 1.75 / 2)


def test_ipo_is_content_at_its_end() -> None:
    """A margin of 1 / (2 tau) has neither loss nor gradient, however sure the label."""
    tau = 1 / (2 * MARGINS[0])
    made = batch()
    _, gradient, _ = run(PairSquare(tau=tau), made)
    assert gradient[:2].abs().max() < 1e-12 < gradient[2:].abs().max()


# --- KTO


def kto(point: float) -> Batch:
    made = batch(pairs=False)
    return replace(made, terms={"kl": torch.full((4,), point)})


def test_kto_is_the_formula_of_each_text_against_its_point() -> None:
    beta, z, good, bad = 0.5, 0.75, 1.5, 0.5
    loss, _, told = run(Prospect(beta, desirable=good, undesirable=bad), kto(z))
    each = [good - good * sigmoid(beta * (c - z)) for c, _ in RATIOS]  # l_y - v(x, y)
    each += [bad - bad * sigmoid(beta * (z - r)) for _, r in RATIOS]
    assert loss == pytest.approx(sum(each) / 4, rel=1e-6)
    assert told["kl"] == 0.75
    assert told["reward/chosen"] == pytest.approx(0.5 * (1.25 - 0.5) / 2)
    assert told["reward/rejected"] == pytest.approx(0.5 * (-1.0 + 0.0) / 2)
    assert told["logprob/chosen"] == pytest.approx((-1.75 - 2.0) / 2)
    assert told["logprob/rejected"] == pytest.approx((-2.0 - 2.5) / 2)
    assert told["accuracy"] == 0.75  # the second chosen text, at -0.5, is below the point; both rejected ones are, too


def test_the_gradient_of_kto_is_that_of_its_formula_and_not_of_its_point() -> None:
    beta, z = 0.5, 0.75
    _, gradient, _ = run(Prospect(beta), kto(z))
    for p, (c, r) in enumerate(RATIOS):
        up, down = sigmoid(beta * (c - z)), sigmoid(beta * (z - r))
        n, m = LENGTHS[p]
        assert gradient[2 * p, 2 : 2 + n].tolist() == pytest.approx([-beta * up * (1 - up) / 4] * n, rel=1e-6)
        assert gradient[2 * p + 1, 2 : 2 + m].tolist() == pytest.approx([beta * down * (1 - down) / 4] * m, rel=1e-6)


# --- reward models


SCORES = [(0.5, -0.25), (0.25, 1.0)]  # of (chosen, rejected)


def ends() -> Batch:
    """The same pairs, of which the last token of each text is trained."""
    made = batch()
    last = made.trained & (made.trained.flip(1).cumsum(1).flip(1) == 1)
    made = replace(made, trained=last, advantages=made.advantages.sign() * last)
    return replace(made, weights=SequenceMean()(made).double())


def values() -> Tensor:
    out = torch.full((4, 6), math.nan, dtype=torch.float64)
    for i, (n, score) in enumerate(
        (n, s) for ns, ss in zip(LENGTHS, SCORES, strict=True) for n, s in zip(ns, ss, strict=True)
    ):
        out[i, 1 + n] = score
    return out


def test_a_reward_model_s_loss_is_that_of_bradley_and_terry() -> None:
    loss, gradient, told = run(BradleyTerry(), ends(), values=values())
    assert loss == pytest.approx(-(math.log(sigmoid(0.75)) + math.log(sigmoid(-0.75))) / 2, rel=1e-6)
    slopes = [sigmoid(-0.75) / 2, sigmoid(0.75) / 2]
    found = gradient[ends().trained].tolist()
    assert found == pytest.approx([-slopes[0], slopes[0], -slopes[1], slopes[1]], rel=1e-6)
    assert told["accuracy"] == 0.5 and told["reward/margin"] == pytest.approx(0.0)
    assert told["reward/chosen"] == pytest.approx(0.375) and told["reward/rejected"] == pytest.approx(0.375)


def test_margin_and_centring_are_those_of_their_papers() -> None:
    made = replace(ends(), terms={"margin": torch.tensor([1.0, 1.0, 0.0, 0.0])})
    loss, _, _ = run(BradleyTerry(margin=0.5, centre=0.01), made, values=values())
    each = [math.log1p(math.exp(-(0.75 - 0.5))) + 0.01 * 0.25**2, math.log1p(math.exp(0.75)) + 0.01 * 1.25**2]
    assert loss == pytest.approx(sum(each) / 2, rel=1e-6)


# --- all of them, against autograd of the formula in one line of torch


@pytest.mark.parametrize("seed", range(3))
def test_gradients_are_those_of_the_formulas_in_plain_torch(seed: int) -> None:
    draws = torch.Generator().manual_seed(seed)
    made, single = batch(), kto(0.3)
    trained = made.trained
    x = torch.where(trained, torch.randn(4, 6, generator=draws, dtype=torch.float64), math.nan)
    leaf = x.clone().requires_grad_()
    apart = torch.where(trained, leaf - laid(REF), 0.0).sum(1)
    chosen, rejected = apart[0::2], apart[1::2]
    formulas = [
        (PairLogistic(0.3), made, -logsigmoid(0.3 * (chosen - rejected)).mean()),
        (PairSquare(0.3), made, ((chosen - rejected - 1 / 0.6) ** 2).mean()),
        (
            Prospect(0.3, desirable=1.2),
            single,
            torch.cat([1.2 * torch.sigmoid(-0.3 * (chosen - 0.3)), torch.sigmoid(-0.3 * (0.3 - rejected))]).mean(),
        ),
    ]
    for objective, which, loss in formulas:
        (expected,) = torch.autograd.grad(loss, leaf, retain_graph=True)
        value, gradient, _ = run(objective, which, logprobs=x)
        assert value == pytest.approx(loss.item(), rel=1e-6)
        assert torch.allclose(gradient, expected, rtol=1e-6, atol=1e-12)
    leaf = values().requires_grad_()
    r = torch.where(ends().trained, leaf, 0.0).sum(1)
    loss = softplus(r[1::2] - r[0::2]).mean() + 0.1 * ((r[0::2] + r[1::2]) ** 2).mean()
    (expected,) = torch.autograd.grad(loss, leaf)
    value, gradient, _ = run(BradleyTerry(centre=0.1), ends(), values=values())
    assert value == pytest.approx(loss.item(), rel=1e-6)
    assert torch.allclose(gradient, expected, rtol=1e-6, atol=1e-12)


# --- what is refused


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: PairLogistic(beta=0), "beta must be above 0, got 0"),
        (lambda: PairLogistic(smoothing=0.5), r"smoothing must lie in \[0, 0.5\), got 0.5"),
        (lambda: PairSquare(tau=-1), "tau must be above 0"),
        (lambda: Prospect(beta=0), "beta must be above 0"),
        (lambda: Prospect(undesirable=-1), "undesirable must be 0 or more"),
        (lambda: BradleyTerry(centre=-1), "centre must be 0 or more"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(make: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()


def test_a_batch_that_lacks_what_a_loss_reads_is_refused() -> None:
    bare = replace(batch(), tracks={})
    for objective in (PairLogistic(), PairSquare(), Prospect(point="correct")):
        with pytest.raises(ValueError, match=r'needs the track "reference".*Preference or Feedback'):
            run(objective, bare)
    with pytest.raises(ValueError, match=r"needs its point as the term 'kl'.*Feedback"):
        run(Prospect(), batch())
