"""Packed rows, through the library's modules and through the fused decoder, against padded ones: one gradient."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.architectures import KINDS, model
from helpers.gradients import GRPO, apart, collated, gradients, learner
from helpers.model_small import extend, play, shaken

from whet.engines.native import Native
from whet.models.lm import LM
from whet.models.tiny import TinyLlama, TinyQwen
from whet.stages.learning import learn
from whet.types import Batch, Decoding

FUSED = pytest.mark.parametrize("tiny", [TinyQwen, TinyLlama])


def sampled(lm: LM) -> Batch:
    """Two groups of three, of which one has members with prompts of their own."""
    prompts = ["1+2="] * 3 + ["30-4+5=", "30-4+7=", "7="]
    return collated(play(Native(lm), prompts, Decoding(max_tokens=14)), 3)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.mark.parametrize("kind", KINDS)
def test_packed_gradients_are_the_padded_ones_for_every_architecture(kind: str, place: Path) -> None:
    lm = model(kind, place)
    attempts = play(Native(lm), ["how much is 17+8? it is "] * 4 + ["a b c d e f g h i j"] * 2, Decoding(max_tokens=20))
    batch = collated(attempts, 2)
    assert lm.packs
    padded, expected = gradients(lm, "padded", batch)
    found, logprobs = gradients(lm, "packed", batch)
    assert apart(found, padded) < 1e-5
    assert torch.allclose(logprobs, expected, atol=1e-5)


@FUSED
@pytest.mark.parametrize("checkpointing", [False, True])
def test_fused_gradients_are_the_padded_ones(tiny: type, checkpointing: bool) -> None:
    lm = shaken(tiny(width=48, layers=3, context=64))  # heads of 12: no multiple of a register
    batch = sampled(lm)
    padded, expected = gradients(lm, "padded", batch)
    for way in ("packed", "fused"):
        found, logprobs = gradients(lm, way, batch, checkpointing=checkpointing)
        assert apart(found, padded) < 1e-5
        assert torch.allclose(logprobs, expected, atol=1e-5)


def test_long_contexts_and_groups_of_one_are_no_other_case() -> None:
    lm = shaken(TinyQwen(width=32, layers=2, heads=2, kv_heads=2, context=256))
    batch = collated(play(Native(lm), ["1+" * 60, "2+" * 20, "3"], Decoding(max_tokens=100)), 1)
    padded, _ = gradients(lm, "padded", batch)
    assert apart(gradients(lm, "packed", batch)[0], padded) < 1e-5
    assert apart(gradients(lm, "fused", batch)[0], padded) < 1e-5


def test_attempts_of_several_rows_and_branches_give_the_padded_gradient() -> None:
    lm = shaken(TinyQwen(width=32, layers=2, context=96))
    engine = Native(lm)
    trunks = play(engine, ["1+2=", "1+2="], Decoding(max_tokens=8))
    cut = [engine.cut(t, 0, len(t.rows[0]) - 2) for t in trunks for _ in range(2)]  # two branches each
    branches = extend(engine, cut, Decoding(max_tokens=6), range(4))
    again = [engine.reopen(t, t.rows[0].tokens[-4:].tolist()) for t in branches]
    both = extend(engine, again, Decoding(max_tokens=6), range(4, 8))
    assert all(len(t.rows) == 2 for t in both)
    batch = collated(both, 4)
    padded, _ = gradients(lm, "padded", batch)
    assert apart(gradients(lm, "packed", batch)[0], padded) < 1e-5
    assert apart(gradients(lm, "fused", batch)[0], padded) < 1e-5


@pytest.mark.parametrize("way", ["packed", "fused"])
def test_several_epochs_of_mini_batches_end_at_the_weights_of_the_padded_way(way: str) -> None:
    train = replace(GRPO, epochs=2, minibatches=2, clip_norm=1.0, eps=1e-3)  # a larger eps: Adam divides by noise
    start = shaken(TinyQwen(width=32, layers=2, context=64))
    batch, ends = sampled(start), []
    for each in ("padded", way):
        lm = shaken(TinyQwen(width=32, layers=2, context=64))
        told = learn(learner(lm, each, train), train, batch, step=0, seed=1)
        assert told["updates"] == 4 and told["gap/max"] < 1e-4
        ends.append(torch.cat([p.detach().flatten() for p in lm.parameters()]))
    before = torch.cat([p.detach().flatten() for p in start.parameters()])
    assert float((ends[1] - ends[0]).norm()) < 1e-4 * float((ends[0] - before).norm())


@pytest.mark.parametrize("way", ["packed", "fused"])
def test_micro_batches_of_packed_rows_change_no_gradient(way: str) -> None:
    lm = shaken(TinyQwen(width=32, layers=2, context=64))
    batch = sampled(lm)
    found = []
    for tokens in (1, 40, 10**6):
        who = learner(lm, way, micro_tokens=tokens)
        learn(who, replace(GRPO, lr=0.0), batch, step=0, seed=1)  # gradients are gone after an update
        weights = replace(batch, weights=GRPO.weighting(batch))
        for part in who.parts(batch):
            small = weights.rows(part)
            loss, _ = GRPO.objective(who.forward(small, GRPO.needs), small)
            (loss * small.weights).sum().backward()
        found.append({name: p.grad.clone() for name, p in lm.named_parameters() if p.grad is not None})
        lm.zero_grad()
    assert len(learner(lm, way, micro_tokens=1).parts(batch)) == 6
    assert apart(found[0], found[2]) < 1e-5 and apart(found[1], found[2]) < 1e-5


def test_the_fused_decoder_gives_the_same_bits_again() -> None:
    lm = shaken(TinyQwen(width=48, layers=2, context=64))
    batch = sampled(lm)
    first, logprobs = gradients(lm, "fused", batch)
    again, same = gradients(lm, "fused", batch)
    assert torch.equal(logprobs, same) and all(torch.equal(first[k], again[k]) for k in first)


def test_what_an_architecture_can_not_pack_is_padded() -> None:
    lm = shaken(TinyQwen(width=32, layers=2, context=64))
    batch = sampled(lm)
    who = learner(lm, "padded")
    assert not who.packs(batch)
    assert who.forward(batch).logprobs.shape == batch.tokens.shape


def test_nothing_is_read_behind_the_last_trained_token(monkeypatch: pytest.MonkeyPatch) -> None:
    lm = shaken(TinyQwen(width=32, layers=2, context=64))
    batch = sampled(lm)
    seen: list[int] = []
    whole = LM.packed
    monkeypatch.setattr(LM, "packed", lambda self, packing, *a: seen.append(len(packing)) or whole(self, packing, *a))
    learner(lm, "packed").forward(batch)
    rows = [
        row[: int(trained.nonzero()[-1])].tolist() for row, trained in zip(batch.tokens, batch.trained, strict=True)
    ]
    assert seen == [len({tuple(row[:t]) for row in rows for t in range(1, len(row) + 1)})]
