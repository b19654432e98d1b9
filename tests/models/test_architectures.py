"""Any decoder that transformers loads can be sampled, scored and trained: the same text, the same log-probs."""

import asyncio
import json
from pathlib import Path

import pytest
import torch
from helpers.architectures import KINDS, WINDOW, folder, model
from helpers.examples import group, scored
from helpers.model_small import generated, play
from transformers import AutoModelForCausalLM

from whet.batching import collate
from whet.engines.native import Native
from whet.launch import Order, start
from whet.learners.local import Local
from whet.machines.profile import Machine
from whet.metrics import plots
from whet.models.lm import LM
from whet.models.lora import Lora
from whet.models.pretrained import Pretrained
from whet.run import Silent
from whet.types import Batch, Credit, Decoding, Trajectory, joined

PROMPTS = ["2+3=", "how much is 17+8? it is ", "5", "a b c d e f g h i j k l m n o p", "2+3="]
GREEDY = Decoding(max_tokens=16, temperature=0)
HOT = Decoding(max_tokens=16, temperature=1.3)

RECIPE = """
from helpers.runs import sums
from helpers.shapes import odd
from whet.objectives.clip import Clip
from whet.models.tiny import TinyQwen
from whet.recipe import Recipe
from whet.rollouts.sample import Sample
from whet.scoring import Weighted
from whet.stages.learning import Train
from whet.stages.rl import RL
from whet.types import Decoding

sample = Sample(group=4, decoding=Decoding(max_tokens=8))
reward = Weighted({"correct": odd})
loop = RL(sums(4), sample, reward, {"policy": Train(Clip(), lr=1e-3)}, problems=4, steps=1)
recipe = Recipe(TinyQwen(), {"grpo": [loop]})
"""

kinds = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("models")


def plain(lm: LM, t: Trajectory) -> torch.Tensor:
    """[T]: log-probs of the whole row by the library's own forward pass."""
    row = t.rows[0]
    with torch.no_grad():
        logits = lm.hf(input_ids=row.tokens[None]).logits[0, :-1].float() / (row.temperature or 1.0)
    said = logits.log_softmax(-1).gather(1, row.tokens[1:, None]).squeeze(1)
    return torch.cat([torch.zeros(1), said])


@kinds
def test_greedy_is_what_transformers_generates_in_a_batch_of_prompts_of_any_length(kind, place):
    lm = model(kind, place)
    engine = Native(lm, engine="reference")
    played = play(engine, PROMPTS, GREEDY)
    assert engine.waves == 1
    assert max(len(t.rows[0]) for t in played) > 2 * WINDOW
    for t in played:
        prompt = engine.open(t.problem).rows[0].tokens
        assert t.rows[0].tokens[len(prompt) :].tolist() == generated(lm, prompt, 16)


@kinds
def test_sampler_scorer_and_the_librarys_forward_pass_say_the_same_of_a_sample(kind, place):
    lm = model(kind, place)
    engine = Native(lm)
    played = play(engine, PROMPTS, HOT)
    said = asyncio.run(engine.score([t.rows[0] for t in played]))
    for t, told in zip(played, said, strict=True):
        row, full = t.rows[0], plain(lm, t)
        torch.testing.assert_close(row.logprobs[row.sampled], full[row.sampled], atol=2e-5, rtol=0)
        torch.testing.assert_close(told["logprobs"], full, atol=2e-5, rtol=0)


def batch_of(played: list[Trajectory]) -> Batch:
    pairs = [group(t, t, slot=i) for i, t in enumerate(played)]
    credit = [[torch.full((len(joined(t, "tokens")),), sign) for sign in (1.0, -0.5)] for t in played]
    return collate([scored(p, [1.0, 0.0]) for p in pairs], Credit(credit))


def learned(lm: LM, batch: Batch, checkpointing: bool) -> tuple[torch.Tensor, dict[str, torch.Tensor], int]:
    """The learner's log-probs, their gradients, and how many bytes were kept for the backward pass."""
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    lm.zero_grad(set_to_none=True)
    learner = Local(lm, Machine(checkpointing=checkpointing), betas=(0.9, 0.99), weight_decay=0.0, eps=1e-8)
    weights = {p.untyped_storage().data_ptr() for p in lm.parameters()}
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        logprobs = learner.forward(batch).logprobs
    (logprobs * batch.advantages).sum().backward()
    gradients = {n: p.grad for n, p in lm.named_parameters() if p.grad is not None}
    return logprobs.detach(), gradients, sum(size for place, size in kept.items() if place not in weights)


@pytest.mark.parametrize(
    ("kind", "adapter"), [*((kind, False) for kind in KINDS), ("gpt2", True), ("qwen2", True), ("gemma3", True)]
)
def test_the_learner_agrees_with_the_sampler_and_checkpointing_changes_memory_alone(kind, adapter, place):
    lm = model(kind, place)
    if adapter:
        lm = Lora(Pretrained(str(folder(kind, place))), rank=2, kind="dora").build(0)
    batch = batch_of(play(Native(lm), PROMPTS, HOT))
    logprobs, gradients, kept = learned(lm, batch, checkpointing=False)
    again, same, less = learned(lm, batch, checkpointing=True)
    trained = batch.trained
    torch.testing.assert_close(logprobs[trained], batch.logprobs[trained], atol=2e-5, rtol=0)
    assert logprobs.equal(again)
    assert gradients.keys() == same.keys() == lm.learned().keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(same[name], gradient, atol=1e-5, rtol=1e-4)
    assert sum(g.abs().sum() for g in gradients.values()) > 0
    assert less < 0.6 * kept


@kinds
@pytest.mark.parametrize("lora", [0, 2], ids=["all weights", "adapter"])
def test_a_whole_run_of_one_grpo_step_learns_and_exports(kind, lora, place, tmp_path, monkeypatch):
    monkeypatch.setattr(plots, "draw_all", lambda *_: [])  # most of the time, and held by tests of their own
    (tmp_path / "my_recipe.py").write_text(RECIPE)
    base = folder(kind, place)
    order = Order(str(tmp_path / "my_recipe.py"), "grpo", model=str(base), lora=lora)
    run = start(order, tmp_path / "run", Silent())
    (told,) = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert told["updates"] == 1
    assert told["grad_norm"] > 0
    assert told["gap/max"] < 2e-5
    before = model(kind, place)
    lm = run.lms["policy"]
    held = {name.replace(".base_layer", ""): weights for name, weights in lm.named_parameters()}
    for name, weights in before.named_parameters():
        assert held[name].equal(weights) == bool(lora)
    tokens = torch.tensor([[5, 17, 90, 33, 8, 120]])
    exported = AutoModelForCausalLM.from_pretrained(tmp_path / "run" / "model")
    with torch.no_grad():
        said = exported(input_ids=tokens).logits
        torch.testing.assert_close(said, lm.hf(input_ids=tokens).logits, atol=1e-4, rtol=0)
        assert not said.allclose(before.hf(input_ids=tokens).logits, atol=1e-4)
