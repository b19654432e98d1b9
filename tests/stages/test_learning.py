"""Auxiliary losses: their place in the gradient, their own normaliser, their metrics."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.runs import go, metrics, sums, text_of
from torch import Tensor

from whet.describe import describe
from whet.learners.local import Local
from whet.machines.profile import Machine
from whet.models.lm import LM
from whet.objectives.clip import Clip
from whet.objectives.gradient_preserving import GradientPreservingClip
from whet.objectives.likelihood import Likelihood
from whet.objectives.truncated import Truncated
from whet.objectives.with_entropy import WithEntropy
from whet.rewards.length import Finished
from whet.rollouts.sample import Sample
from whet.schedule import Linear, at
from whet.scoring import Weighted
from whet.settings import override
from whet.stages.learning import Auxiliary, Train, learn, said
from whet.stages.rl import RL
from whet.types import Batch, Decoding, Group
from whet.weightings.sequence_mean import SequenceMean
from whet.weightings.where import Where


def gradients(lm: LM, batch: Batch, train: Train, **machine: Any) -> tuple[dict[str, Tensor], dict[str, float]]:
    """The gradients of one step's updates, summed; learning rate 0 leaves the weights."""
    found: dict[str, Tensor] = {}

    class Listening(Local):
        def update(self, lr: float, clip_norm: float) -> dict[str, float]:
            for name, p in self.lm.named_parameters():
                if p.grad is not None:
                    found[name] = found.get(name, 0) + p.grad.clone()
            return super().update(lr, clip_norm)

    who = Listening(lm, Machine(**machine), betas=(0.9, 0.99), weight_decay=0.0, eps=1e-8)
    return found, learn(who, train, batch, step=0, seed=1)


def agree(a: dict[str, Tensor], b: dict[str, Tensor]) -> None:
    assert a.keys() == b.keys() and a
    norm = math.sqrt(sum(float(x.double().pow(2).sum()) for x in a.values()))
    assert norm > 1e-3
    assert max(float((a[k] - b[k]).abs().max()) for k in a) / norm < 1e-6


MAIN = Train(GradientPreservingClip(), lr=0.0)
NLL = Auxiliary(Likelihood(), Where("correct"), 0.1)
JOINT = replace(MAIN, auxiliary={"nll": NLL})


def test_the_joint_loss_is_that_of_plain_torch(lm: LM, batch: Batch) -> None:
    """GPPO averaged over all trained tokens, and a tenth of the NLL averaged over those of correct replies alone."""
    found, told = gradients(lm, batch, JOINT)
    lm.requires_grad_(True)
    logits = lm.hf(input_ids=batch.tokens, attention_mask=batch.valid.long()).logits
    logp = logits[:, :-1].log_softmax(-1).gather(2, batch.tokens[:, 1:, None]).squeeze(2)
    trained, advantages = batch.trained[:, 1:], batch.advantages[:, 1:]
    ratio = (logp - batch.logprobs[:, 1:]).detach().exp()
    outside = ((ratio > 1.28) & (advantages > 0)) | ((ratio < 0.8) & (advantages < 0))
    factor = torch.where(outside, ratio.clamp(0.8, 1.28), ratio)
    assert 0 < outside[trained].float().mean() < 1
    correct = trained & (batch.terms["correct"] == 1)[:, None]
    nll = -logp[correct].mean()
    ((-factor * advantages * logp)[trained].sum() / trained.sum() + 0.1 * nll).backward()
    agree(found, {name: p.grad.clone() for name, p in lm.named_parameters() if p.grad is not None})
    value = -torch.where(outside, ratio.clamp(0.8, 1.28), ratio) * advantages
    assert told["nll/loss"] == pytest.approx(nll.item(), rel=1e-5)
    assert told["nll/nll"] == pytest.approx(nll.item(), rel=1e-5)
    assert told["loss"] == pytest.approx(float(value[trained].mean()) + 0.1 * nll.item(), rel=1e-5)
    assert told["clip_fraction"] == pytest.approx(float(outside[trained].float().mean()))
    assert 0 < told["gradient/clipped"] < told["gradient/all"]


@pytest.mark.parametrize("tokens", [1, 20, 40])
@pytest.mark.parametrize("minibatches", [1, 3])
def test_no_split_into_micro_batches_changes_gradient_or_metrics(
    lm: LM, batch: Batch, tokens: int, minibatches: int
) -> None:
    train = replace(JOINT, minibatches=minibatches)
    train = replace(train, auxiliary={"nll": NLL, "spread": Auxiliary(WithEntropy(Clip()), SequenceMean(), 0.5)})
    whole, told = gradients(lm, batch, train, micro_tokens=10**6)
    split, said = gradients(lm, batch, train, micro_tokens=tokens)
    agree(whole, split)
    assert said == pytest.approx(told, rel=1e-5, abs=1e-6)


def test_losses_add_up_and_weights_scale_them(lm: LM, batch: Batch) -> None:
    main, told = gradients(lm, batch, MAIN)
    alone, spoken = gradients(lm, batch, replace(MAIN, objective=NLL.objective, weighting=NLL.weighting))
    both, said = gradients(lm, batch, replace(JOINT, auxiliary={"nll": replace(NLL, weight=0.7)}))
    agree(both, {name: main[name] + 0.7 * alone[name] for name in main})
    assert said["loss"] == pytest.approx(told["loss"] + 0.7 * spoken["loss"], rel=1e-5)
    for name in set(told) - {"loss", "grad_norm"}:
        assert said[name] == told[name]


def test_wrong_replies_are_not_imitated(lm: LM, batch: Batch) -> None:
    nobody = replace(batch, terms={"correct": torch.zeros(len(batch))})
    agree(gradients(lm, nobody, MAIN)[0], gradients(lm, nobody, JOINT)[0])
    told = gradients(lm, nobody, JOINT)[1]
    assert told["nll/loss"] == 0 and "nll/nll" not in told


def test_what_any_objective_needs_is_given(lm: LM, batch: Batch) -> None:
    train = replace(MAIN, auxiliary={"spread": Auxiliary(Truncated(WithEntropy(Clip())))})
    assert train.needs == {"entropy", "proximal"} and MAIN.needs == set()
    told = gradients(lm, batch, train)[1]
    assert told["ratio"] == pytest.approx(1) and told["spread/mismatch"] > 0


def test_a_weight_may_be_a_schedule_and_is_set_by_its_path(lm: LM, batch: Batch) -> None:
    falling = replace(JOINT, auxiliary={"nll": replace(NLL, weight=Linear(0.2, 0.0, 10))})
    agree(gradients(lm, batch, at(falling, 5))[0], gradients(lm, batch, JOINT)[0])
    assert json.dumps(describe(falling))
    assert override(falling, ["auxiliary.nll.weight=0.1", "auxiliary.nll.weighting.term=correct"]) == JOINT


def test_a_term_that_the_reward_has_not_is_named(lm: LM, batch: Batch) -> None:
    with pytest.raises(ValueError, match=r"'right', and the batch has \['correct'\]"):
        gradients(lm, batch, replace(JOINT, auxiliary={"nll": replace(NLL, weighting=Where("right"))}))


@pytest.mark.parametrize("name", ["", "gap"])
def test_a_name_that_can_not_name_metrics_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no name for a loss"):
        Train(Clip(), auxiliary={name: NLL})


def even(group: Group) -> Tensor:
    return torch.tensor([float(sum(map(ord, text)) % 2) for text in text_of(group)])


def test_in_the_loop_terms_reach_the_weightings(tmp_path: Path) -> None:
    """Attempts that were cut off leave the loss, and those whose text is even are imitated."""
    train = Train(Clip(), Where("finished"), lr=1e-2, auxiliary={"nll": Auxiliary(Likelihood(), Where("even"), 0.1)})
    stage = RL(
        task=sums(50),
        rollout=Sample(group=4, decoding=Decoding(max_tokens=5)),
        reward=Weighted({"even": even, "finished": Finished()}, weights={"finished": 0.0}),
        train={"policy": train},
        problems=4,
        steps=2,
    )
    go(tmp_path, stage)
    for line in metrics(tmp_path):
        assert line["reward/finished"] == pytest.approx(1 - line["length/limit_share"])
        assert line["nll/loss"] == pytest.approx(line["nll/nll"], rel=1e-4) and line["nll/loss"] > 0
        assert line["reward/mean"] == line["reward/even"]


def _epochs(lm: LM, batch: Batch, train: Train) -> dict[str, float]:
    learner = Local(lm, Machine(), betas=train.betas, weight_decay=0.0, eps=1e-8)
    return learn(learner, train, batch, step=0, seed=0)


def test_updates_end_before_one_that_is_too_far_from_where_the_step_began(lm: LM, batch: Batch):
    usual = Train(Clip(), lr=1e-2, epochs=6)
    near = replace(batch, logprobs=torch.where(batch.trained, said(Local(lm, Machine(), **usual.adamw), batch), 0.0))
    twin, moved = copy.deepcopy(lm), copy.deepcopy(lm)
    stopped = _epochs(lm, near, replace(usual, most_kl=1e-4))
    made = int(stopped["updates"])
    assert 1 <= made < 6  # the first is always made: nothing has moved before it
    assert _epochs(twin, near, replace(usual, epochs=made))["updates"] == made
    assert all(one.equal(other) for one, other in zip(lm.parameters(), twin.parameters(), strict=True))
    assert _epochs(moved, near, replace(usual, most_kl=1e9))["updates"] == 6


def test_no_update_is_made_where_the_batch_is_too_far_from_the_beginning(lm: LM, batch: Batch):
    before = [weight.clone() for weight in lm.parameters()]
    assert _epochs(lm, batch, Train(Clip(), lr=1e-2, epochs=6, most_kl=1e-4))["updates"] == 0
    assert all(weight.equal(old) and weight.grad is None for weight, old in zip(lm.parameters(), before, strict=True))


def test_a_bound_on_the_kl_needs_an_objective_that_measures_it_and_is_above_0(lm: LM, batch: Batch):
    with pytest.raises(ValueError, match="kl_old"):
        _epochs(lm, batch, Train(Likelihood(), most_kl=0.1))
    with pytest.raises(ValueError, match="most_kl"):
        Train(Clip(), most_kl=0.0)
