"""The learner, against plain `transformers` and `torch`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pytest
import torch
from helpers.examples import attempt, group, scored
from helpers.model_small import extend, play, shaken
from torch import Tensor

from whet.batching import collate
from whet.engines.native import Native
from whet.learners import local
from whet.learners.local import Local
from whet.machines.profile import Machine
from whet.models.lm import LM
from whet.models.tiny import TinyLlama, TinyQwen
from whet.objectives.clip import Clip
from whet.objectives.reinforce import Reinforce
from whet.objectives.with_entropy import WithEntropy
from whet.schedule import Linear, at
from whet.stages.learning import Train, learn
from whet.types import Batch, Credit, Decoding, Outputs, Row, joined

SMALL = TinyQwen(width=32, layers=2, context=96)
PROMPTS = ("1+2=", "30-4+5=", "7=", "12+34-56+78=")


def learner(lm: LM, weight_decay: float = 0.0, **machine: Any) -> Local:
    return Local(lm, Machine(**machine), betas=(0.9, 0.99), weight_decay=weight_decay, eps=1e-8)


def played(lm: LM, decoding: Decoding, prompts: Sequence[str] = PROMPTS) -> Batch:
    """Two attempts at each prompt, with an advantage of its own for every attempt."""
    attempts = play(Native(lm), [p for p in prompts for _ in range(2)], decoding)
    pairs = [group(*attempts[i : i + 2], slot=i // 2) for i in range(0, len(attempts), 2)]
    credit = [[torch.full((len(joined(t, "tokens")),), 0.5 * i - g) for g, t in enumerate(p.trajectories)]
              for i, p in enumerate(pairs)]  # fmt: skip
    return collate([scored(p, [1.0, 0.0]) for p in pairs], Credit(credit))


def gradients(lm: LM, batch: Batch, train: Train, **machine: Any) -> tuple[dict[str, Tensor], dict[str, float]]:
    """What one update's gradient is, before clipping; learning rate 0 leaves the weights."""
    found: dict[str, Tensor] = {}

    class Listening(Local):
        def update(self, lr: float, clip_norm: float) -> dict[str, float]:
            found.update({n: p.grad.clone() for n, p in self.lm.named_parameters() if p.grad is not None})
            return super().update(lr, clip_norm)

    who = Listening(lm, Machine(**machine), betas=(0.9, 0.99), weight_decay=0.0, eps=1e-8)
    return found, learn(who, train, batch, step=0, seed=1)


def apart(a: dict[str, Tensor], b: dict[str, Tensor]) -> float:
    """The greatest difference, relative to the norm of the whole gradient."""
    assert a.keys() == b.keys() and a
    norm = math.sqrt(sum(float(x.double().pow(2).sum()) for x in a.values()))
    return max(float((a[k] - b[k]).abs().max()) for k in a) / norm


@pytest.fixture
def lm() -> LM:
    return shaken(SMALL)


@pytest.fixture
def batch(lm: LM) -> Batch:
    return played(lm, Decoding(max_tokens=12))


# -- one gradient, however it is computed -----------------------------------------------------------------------------

RATIO = Train(WithEntropy(Clip(), coef=0.05), lr=0.0)


@pytest.mark.parametrize("tokens", [1, 40, 120])
def test_micro_batches_change_neither_gradient_nor_metrics(lm: LM, batch: Batch, tokens: int) -> None:
    whole, told = gradients(lm, batch, RATIO, micro_tokens=10**6)
    split, said = gradients(lm, batch, RATIO, micro_tokens=tokens)
    assert apart(whole, split) < 1e-6
    assert said == pytest.approx(told, rel=1e-5, abs=1e-6)


def test_activation_checkpointing_changes_no_gradient(lm: LM, batch: Batch) -> None:
    assert apart(gradients(lm, batch, RATIO)[0], gradients(lm, batch, RATIO, checkpointing=True)[0]) < 1e-6


def test_logits_in_chunks_are_the_same(lm: LM, batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, told = gradients(lm, batch, RATIO)
    monkeypatch.setattr(local, "LOGITS", 7 * lm.vocab)
    split, said = gradients(lm, batch, RATIO)
    assert apart(whole, split) < 1e-6
    assert said == pytest.approx(told, rel=1e-5, abs=1e-6)


def test_bf16_is_close_and_leaves_weights_in_fp32(lm: LM, batch: Batch) -> None:
    exact = learner(lm).forward(batch).logprobs.detach()
    who = learner(lm, precision="bf16")
    rough = who.forward(batch).logprobs.detach()
    assert rough.dtype == torch.float32 and rough.isfinite().all()
    assert 0 < float((rough - exact).abs().max()) < 0.2
    told = learn(who, replace(RATIO, lr=1e-3), batch, step=0, seed=1)
    assert told["updates"] == 1 and all(math.isfinite(value) for value in told.values())
    assert all(p.dtype == torch.float32 and p.isfinite().all() for p in lm.parameters())


@pytest.mark.parametrize("tiny", [SMALL, TinyLlama(width=32, layers=2, context=96)])
def test_accumulated_loss_is_that_of_plain_transformers_on_one_batch(tiny: TinyQwen | TinyLlama) -> None:
    lm = shaken(tiny)
    batch = played(lm, Decoding(max_tokens=9, temperature=0.7))
    batch = replace(batch, logprobs=batch.logprobs - 0.1 * batch.trained)
    lm.requires_grad_(True)
    logits = lm.hf(input_ids=batch.tokens, attention_mask=batch.valid.long()).logits
    logp = (logits[:, :-1] / batch.temperature[:, None, None]).log_softmax(-1)
    logp = logp.gather(2, batch.tokens[:, 1:, None]).squeeze(2)
    trained = batch.trained[:, 1:]
    ratio = (logp - batch.logprobs[:, 1:]).exp()
    adv = batch.advantages[:, 1:]
    loss = -torch.minimum(ratio * adv, ratio.clamp(0.8, 1.2) * adv)[trained].sum() / trained.sum()
    loss.backward()
    naive = {name: p.grad.clone() for name, p in lm.named_parameters() if p.grad is not None}
    lm.zero_grad(set_to_none=True)
    ours, told = gradients(lm, batch, Train(Clip(), lr=0.0), micro_tokens=50)
    assert told["loss"] == pytest.approx(loss.item(), rel=1e-5)
    assert apart(naive, ours) < 1e-6


def test_what_stands_in_the_padding_has_no_effect(lm: LM, batch: Batch) -> None:
    noise = torch.randint(3, lm.vocab, batch.tokens.shape, generator=torch.Generator().manual_seed(3))
    other = replace(
        batch,
        tokens=torch.where(batch.valid, batch.tokens, noise),
        logprobs=torch.where(batch.valid, batch.logprobs, torch.nan),
        advantages=torch.where(batch.valid, batch.advantages, torch.nan),
    )
    assert not batch.valid.all()
    clean, told = gradients(lm, batch, RATIO)
    dirty, said = gradients(lm, other, RATIO)
    assert apart(clean, dirty) == 0
    assert told == said


def test_nothing_is_said_of_tokens_that_are_not_trained(lm: LM, batch: Batch) -> None:
    outputs = learner(lm).forward(batch)
    assert not outputs.logprobs[~batch.trained].any() and not outputs.entropy[~batch.trained].any()
    assert (outputs.logprobs[batch.trained] < 0).all()
    assert outputs.values is None and outputs.hidden is None


# -- log-probs are those of the sampler -------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.6])
def test_samples_at_any_temperature_have_ratio_1_in_the_learner(lm: LM, temperature: float) -> None:
    batch = played(lm, Decoding(max_tokens=20, temperature=temperature))
    ratio = (learner(lm).forward(batch).logprobs - batch.logprobs).detach()[batch.trained].exp()
    assert len(ratio) > 40
    assert float((ratio - 1).abs().max()) < 1e-4
    told = learn(learner(lm), RATIO, batch, step=0, seed=1)
    assert told["gap/max"] < 1e-4 and told["ratio"] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("decoding", [Decoding(12, top_k=4), Decoding(12, 1.6, top_p=0.8), Decoding(12, min_p=0.05)])
@pytest.mark.parametrize("stored", [True, False])
def test_truncated_samples_have_ratio_1_with_mask_or_mass(lm: LM, decoding: Decoding, stored: bool) -> None:
    batch = played(lm, replace(decoding, store_mask=stored))
    assert ("kept" in batch.tracks) == stored and (batch.tracks["log_kept"] < -0.01).any()
    ratio = (learner(lm).forward(batch).logprobs - batch.logprobs).detach()[batch.trained].exp()
    assert float((ratio - 1).abs().max()) < 1e-4


def test_a_stored_mask_keeps_gradients_finite_and_entropy_within_what_was_kept(lm: LM) -> None:
    batch = played(lm, Decoding(12, top_k=3, store_mask=True))
    outputs = learner(lm).forward(batch)
    assert float(outputs.entropy.max()) <= math.log(3) + 1e-6
    found, _ = gradients(lm, batch, RATIO)
    assert all(g.isfinite().all() for g in found.values())


def test_entropy_is_that_of_the_distribution_and_carries_gradient_only_where_needed(lm: LM, batch: Batch) -> None:
    who = learner(lm)
    idle, asked = who.forward(batch), who.forward(batch, needs=("entropy",))
    assert idle.logprobs.requires_grad and not idle.entropy.requires_grad
    assert asked.entropy.requires_grad
    assert torch.equal(idle.entropy, asked.entropy)
    b, t = batch.trained.nonzero()[5].tolist()
    p = lm.hf(input_ids=batch.tokens).logits[b, t - 1].softmax(-1)
    assert float(asked.entropy[b, t].detach()) == pytest.approx(float(-(p * p.log()).sum()), rel=1e-4)


def test_values_and_hidden_states_stand_before_their_token(lm: LM, batch: Batch) -> None:
    lm.add_value_head()
    assert lm.value_head is not None
    torch.nn.init.normal_(lm.value_head.weight)
    outputs = learner(lm).forward(batch, needs=("values", "hidden"))
    hidden = lm.hidden(batch.tokens)
    assert outputs.values is not None and outputs.hidden is not None
    trained = batch.trained[:, 1:]
    assert torch.allclose(outputs.hidden[:, 1:][trained], hidden[:, :-1][trained], atol=1e-5)
    assert not outputs.hidden[:, 1:][~trained].any()
    b, t = batch.trained.nonzero()[0].tolist()
    assert float(outputs.values[b, t]) == pytest.approx(float(lm.values(hidden[b, t - 1][None])), rel=1e-5)


# -- attempts of several rows -----------------------------------------------------------------------------------------


def test_an_attempt_of_two_rows_gives_the_gradient_of_its_rows_side_by_side(lm: LM) -> None:
    engine = Native(lm)
    first = play(engine, ["1+2="], Decoding(max_tokens=6))[0]
    reopened = engine.reopen(first, first.rows[0].tokens[-3:].tolist())
    both = extend(engine, [reopened], Decoding(max_tokens=8), [5])[0]
    assert len(both.rows) == 2 and all(row.trained.any() for row in both.rows)
    advantage = torch.arange(1.0, len(joined(both, "tokens")) + 1) / 10
    batch = collate([scored(group(both), [1.0])], Credit([[advantage]]))
    assert batch.trajectory.tolist() == [0, 0]
    found, told = gradients(lm, batch, Train(Reinforce(), lr=0.0), micro_tokens=1)
    lm.requires_grad_(True)
    loss, start, count = torch.zeros(()), 0, int(joined(both, "trained").sum())
    for row in both.rows:
        logp = lm.hf(input_ids=row.tokens[None]).logits[0, :-1].log_softmax(-1)
        logp = logp.gather(1, row.tokens[1:, None]).squeeze(1)
        loss = loss - (logp * advantage[start + 1 : start + len(row)] * row.trained[1:]).sum() / count
        start += len(row)
    loss.backward()
    naive = {name: p.grad.clone() for name, p in lm.named_parameters() if p.grad is not None}
    assert apart(naive, found) < 1e-6
    assert told["gap/max"] < 1e-4


# -- updates ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Broken:
    """A loss of NaN on one token: what a bug in an objective, or an overflow, does."""

    def __call__(self, outputs: Outputs, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        return torch.where(batch.trained, outputs.logprobs * torch.nan, 0.0), {}


def weights(lm: LM) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in lm.named_parameters()}


def test_a_gradient_that_is_not_finite_is_dropped_and_counted(lm: LM, batch: Batch) -> None:
    before = weights(lm)
    who = learner(lm)
    told = learn(who, Train(Broken(), lr=1.0, epochs=2), batch, step=0, seed=1)
    assert (told["updates"], told["updates_dropped"]) == (0, 2)
    assert all(torch.equal(p, before[name]) for name, p in lm.named_parameters())
    assert not who.optimizer.state
    told = learn(who, Train(Clip(), lr=1e-3), batch, step=1, seed=1)
    assert (told["updates"], told["updates_dropped"]) == (1, 0)
    assert all(p.isfinite().all() for p in lm.parameters())
    assert any(not torch.equal(p, before[name]) for name, p in lm.named_parameters())


def test_updates_are_epochs_times_mini_batches(lm: LM, batch: Batch) -> None:
    for epochs, parts, count in ((1, 1, 1), (2, 2, 4), (3, 4, 12), (1, 9, 4)):  # four groups: no fifth mini-batch
        told = learn(learner(lm), Train(Clip(), lr=0.0, epochs=epochs, minibatches=parts), batch, step=0, seed=1)
        assert told["updates"] == count


def test_warm_up_and_schedules_give_exact_learning_rates(lm: LM, batch: Batch) -> None:
    train = Train(Clip(), lr=1e-2, warmup=4)
    assert [train.rate(step) for step in range(6)] == pytest.approx([0.0025, 0.005, 0.0075, 0.01, 0.01, 0.01])
    falling = replace(train, lr=Linear(1e-2, 0.0, 10), warmup=2)
    assert [at(falling, s).rate(s) for s in (0, 1, 5, 10)] == pytest.approx([0.005, 0.009, 0.005, 0.0])
    who = learner(lm)
    assert learn(who, train, batch, step=1, seed=1)["lr"] == 0.005
    assert [part["lr"] for part in who.optimizer.param_groups] == [0.005, 0.005]


def test_the_first_step_of_adam_moves_every_weight_by_the_learning_rate(lm: LM, batch: Batch) -> None:
    before = weights(lm)
    found, _ = gradients(lm, batch, replace(RATIO, lr=0.0))
    learn(learner(lm), replace(RATIO, lr=1e-3, clip_norm=0.0), batch, step=0, seed=1)
    for name, p in lm.named_parameters():
        clear = found[name].abs() > 1e-4  # far above eps
        assert torch.allclose((p.detach() - before[name])[clear], -1e-3 * found[name].sign()[clear], atol=2e-6)


def test_the_norm_of_the_whole_gradient_is_clipped_and_0_turns_it_off(lm: LM) -> None:
    who = learner(lm)
    for clip, left in ((0.5, 0.5), (0.0, 5.0), (50.0, 5.0)):
        parameters = list(lm.parameters())
        for p in parameters:
            p.grad = torch.zeros_like(p)
        assert parameters[0].grad is not None and parameters[1].grad is not None
        parameters[0].grad.view(-1)[0], parameters[1].grad.view(-1)[0] = 3.0, 4.0
        seen: list[float] = []
        hook = who.optimizer.register_step_pre_hook(
            lambda *_, to=seen, of=parameters: to.append(math.sqrt(sum(float(p.grad.pow(2).sum()) for p in of)))
        )
        assert who.update(0.0, clip)["grad_norm"] == pytest.approx(5.0)
        hook.remove()
        assert seen == pytest.approx([left], rel=1e-5)


def test_a_gradient_beyond_the_largest_norm_is_dropped_before_it_is_clipped(lm: LM) -> None:
    before = weights(lm)
    for largest, kept in ((4.9, 0.0), (5.1, 1.0), (0.0, 1.0)):
        who = Local(lm, Machine(), betas=(0.9, 0.99), weight_decay=0.0, eps=1e-8, largest_norm=largest)
        for p in lm.parameters():
            p.grad = torch.zeros_like(p)
        grad = next(iter(lm.parameters())).grad
        assert grad is not None
        grad.view(-1)[:2] = torch.tensor([3.0, 4.0])
        told = who.update(1e-3, 0.5)
        assert told["grad_norm"] == pytest.approx(5.0) and (told["updates"], told["updates_dropped"]) == (
            kept,
            1 - kept,
        )
        assert all(p.grad is None for p in lm.parameters())
        assert bool(who.optimizer.state_dict()["state"]) == bool(kept)
        same = all(p.detach().equal(before[name]) for name, p in lm.named_parameters())
        assert same == (kept == 0)


def test_weight_decay_shrinks_matrices_and_nothing_else(lm: LM) -> None:
    before = weights(lm)
    who = learner(lm, weight_decay=0.5)
    for p in lm.parameters():
        p.grad = torch.zeros_like(p)
    who.update(0.1, 1.0)
    kinds = {p.dim() for p in lm.parameters()}
    assert kinds == {1, 2}
    for name, p in lm.named_parameters():
        expected = before[name] * (0.95 if p.dim() > 1 else 1.0)
        assert torch.allclose(p.detach(), expected, rtol=1e-6, atol=0)


# -- which log-probs a ratio is taken against -------------------------------------------------------------------------


@dataclass(frozen=True)
class Watching:
    """Keeps what it was handed."""

    seen: list[tuple[Tensor, Tensor, Tensor]]
    needs: ClassVar[tuple[str, ...]] = ("proximal",)

    def __call__(self, outputs: Outputs, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        assert batch.proximal is not None
        self.seen.append((outputs.logprobs.detach(), batch.proximal, batch.trained))
        return -outputs.logprobs, {}


def test_proximal_log_probs_are_the_learners_own_before_the_first_update(lm: LM, batch: Batch) -> None:
    stale = replace(batch, logprobs=batch.logprobs - 0.3 * batch.trained)  # an engine that was behind
    own = learner(lm).forward(stale).logprobs.detach()
    seen: list[tuple[Tensor, Tensor, Tensor]] = []
    told = learn(learner(lm, micro_tokens=60), Train(Watching(seen), lr=1e-2, epochs=2), stale, step=0, seed=1)
    assert told["gap/mean"] == pytest.approx(0.3, abs=1e-4)
    half = len(seen) // 2
    assert half > 1
    for now, proximal, trained in seen[:half]:  # no update yet
        assert torch.allclose(now[trained], proximal[trained], atol=1e-5)
    assert any(float((now - proximal)[trained].abs().max()) > 1e-3 for now, proximal, trained in seen[half:])
    everything = torch.cat([proximal[trained] for _, proximal, trained in seen[half:]]).sort().values
    assert torch.allclose(everything, own[stale.trained].sort().values, atol=1e-5)


def test_a_row_to_imitate_leaves_the_gap_alone(lm: LM) -> None:
    tokens = torch.tensor([5, 6, 7, 8])
    trained = torch.tensor([False, True, True, True])
    row = Row(tokens, torch.zeros(4, dtype=torch.bool), trained, torch.zeros(4), torch.full((4,), -1).int())
    batch = collate([scored(group(attempt(row)), [1.0])], Credit([[torch.ones(4)]]))
    told = learn(learner(lm), Train(Reinforce(), lr=0.0), batch, step=0, seed=1)
    assert told["gap/max"] == 0 and "gap/mean" not in told
