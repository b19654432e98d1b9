"""Adapters: the published formulas, what learns, what is saved, and what other programs make of it."""

import asyncio
import copy
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.architectures import folder
from helpers.model_small import play, shaken
from helpers.shapes import Letters, go, killed, odd, same
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import PeftModel
from torch import Tensor
from transformers import AutoModelForCausalLM

from whet.advantages.gae import GAE
from whet.engines.native import Native
from whet.evaluating import asked, evaluate
from whet.launch import Order, find
from whet.models.derived import Critic, Follow
from whet.models.lm import LM, load, save
from whet.models.lora import Lora
from whet.models.pretrained import Pretrained
from whet.models.tiny import TinyQwen
from whet.objectives.clip import Clip
from whet.objectives.value import Value
from whet.recipe import Made, make
from whet.rollouts.sample import Sample
from whet.scoring import Weighted
from whet.stages.learning import Train
from whet.stages.rl import RL
from whet.stages.sft import SFT
from whet.tasks.chain_sum import ChainSum
from whet.tracks.values import Values
from whet.types import Decoding

TINY = TinyQwen(width=32, layers=2, heads=2, kv_heads=1, context=96)
TOKENS = torch.randint(3, 90, (2, 9), generator=torch.Generator().manual_seed(1))
LAYER = "model.layers.1.mlp.up_proj"


def moved(lm: LM, by: float = 0.2) -> LM:
    """With an adapter that is no longer what it began as."""
    draws = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weights in lm.learned().values():
            weights.add_(by * torch.randn(weights.shape, generator=draws))
    return lm


def stage(**more: Any) -> RL:
    rollout = Sample(group=4, decoding=Decoding(max_tokens=6))
    given = {"train": {"policy": Train(Clip(), lr=1e-2)}, "problems": 4, "steps": 3, **more}
    return RL(Letters(), rollout, Weighted({"odd": odd}), **given)


def held(lm: LM) -> dict[str, Tensor]:
    return {name: weights.detach().clone() for name, weights in lm.named_parameters()}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return save(shaken(TINY), tmp_path / "base")


# ------------------------------------------------------------------------------------------------- the formulas


@settings(max_examples=8)
@given(st.sampled_from(["lora", "rslora", "dora"]), st.integers(1, 8), st.sampled_from([1.0, 16.0, 32.0]))
def test_merged_weights_are_the_published_formulas(kind, rank, alpha):
    lm = moved(Lora(TINY, rank=rank, alpha=alpha, kind=kind, targets=("up_proj",)).build(0))
    layer: Any = lm.hf.get_submodule(LAYER)
    a, b, w = (x.weight.detach() for x in (layer.lora_A["default"], layer.lora_B["default"], layer.base_layer))
    assert (a.shape, b.shape) == ((rank, 32), (128, rank))
    expected = w + alpha / (math.sqrt(rank) if kind == "rslora" else rank) * b @ a
    if kind == "dora":
        m = layer.lora_magnitude_vector["default"].weight.detach()
        expected = m[:, None] * expected / expected.norm(dim=1, keepdim=True)
    x = torch.randn(5, 32, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(layer(x), x @ expected.T, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", ["lora", "rslora", "dora"])
def test_it_begins_as_the_base_was(kind):
    lm = Lora(TINY, kind=kind).build(4)
    torch.testing.assert_close(lm.hidden(TOKENS), TINY.build(4).hidden(TOKENS), atol=1e-5, rtol=1e-5)
    assert not any(module.training for module in lm.modules())


def test_the_seed_draws_it():
    one, two, other = (Lora(TINY, targets="q_proj").around(TINY.build(0), seed) for seed in (1, 1, 2))
    assert all(a.equal(b) for a, b in zip(one.learned().values(), two.learned().values(), strict=True))
    assert not all(a.equal(b) for a, b in zip(one.learned().values(), other.learned().values(), strict=True))


def test_targets_are_ends_of_names_or_all_linear_layers_but_the_head():
    def layers(targets: Any) -> set[str]:
        names = Lora(TINY, targets=targets).build(0).learned()
        return {name.partition(".lora_")[0].removeprefix("hf.model.layers.") for name in names}

    assert layers("q_proj") == {"0.self_attn.q_proj", "1.self_attn.q_proj"}
    assert layers(("0.mlp.up_proj", "o_proj")) == {"0.mlp.up_proj", "0.self_attn.o_proj", "1.self_attn.o_proj"}
    assert len(layers("all-linear")) == 14


# --------------------------------------------------------------------------------------------------- what learns


@pytest.mark.parametrize("kind", ["lora", "dora"])
def test_a_run_changes_the_adapter_alone_and_its_checkpoints_hold_nothing_else(kind, tmp_path):
    lm = Lora(TINY, rank=2, kind=kind).build(0)
    before = held(lm)
    run = go(tmp_path, replace(stage(), steps=2), {"policy": lm})
    for name, weights in lm.named_parameters():
        assert weights.equal(before[name]) == (name not in lm.learned()), name
    saved = torch.load(tmp_path / "checkpoints" / "start-1" / "state.pt", weights_only=True)
    assert saved["weights"]["policy"].keys() == lm.learned().keys()
    assert run.lms["policy"] is lm


def test_a_value_head_learns_with_the_adapter(tmp_path):
    lm = Lora(TINY, rank=2).build(0)
    train = {"policy": Train(Clip(), lr=1e-2), "critic": Train(Value(), lr=1e-2, rows="policy")}
    more = {"advantage": GAE(), "tracks": [Values()], "models": {"critic": Critic()}}
    run = go(tmp_path, stage(train=train, steps=2, **more), {"policy": lm})
    critic = run.lms["critic"]
    assert critic.value_head is not None
    assert critic.value_head.weight.abs().sum() > 0
    assert {name for name in critic.learned() if ".lora_" not in name} == {"value_head.weight", "value_head.bias"}
    frozen = [name for name, _ in critic.named_parameters() if name not in critic.learned()]
    policy = dict(lm.named_parameters())
    assert frozen and all(dict(critic.named_parameters())[name] is policy[name] for name in frozen)


def test_a_copy_shares_the_base_and_nothing_that_learns():
    lm = moved(Lora(TINY, rank=2).build(0))
    twin = copy.deepcopy(lm)
    assert twin.hidden(TOKENS).equal(lm.hidden(TOKENS))
    for (name, mine), theirs in zip(lm.named_parameters(), twin.parameters(), strict=True):
        assert (mine is theirs) == (name not in lm.learned())
    moved(twin)
    assert not twin.hidden(TOKENS).equal(lm.hidden(TOKENS))
    Follow(every=1).follow(twin, lm, 1)
    assert twin.hidden(TOKENS).equal(lm.hidden(TOKENS))


def test_a_killed_run_goes_on_with_the_adapter_it_had(tmp_path):
    def build() -> LM:
        return Lora(TINY, rank=2, kind="dora").build(0)

    def make_stage() -> RL:
        return stage(ahead=1)

    whole = go(tmp_path / "whole", make_stage(), {"policy": build()})
    broken = killed(tmp_path / "broken", make_stage, [1, 2], build)
    assert same(tmp_path / "whole", tmp_path / "broken")
    for name, weights in whole.lms["policy"].learned().items():
        assert weights.equal(broken.lms["policy"].learned()[name])


def test_a_base_in_half_precision_stays_so_and_the_adapter_is_not(base):
    lm = Lora(Pretrained(str(base), dtype="bfloat16"), rank=2).build(0)
    learned = lm.learned()
    assert {p.dtype for p in learned.values()} == {torch.float32}
    assert {p.dtype for name, p in lm.named_parameters() if name not in learned} == {torch.bfloat16}
    assert lm.hidden(TOKENS).isfinite().all()


def test_weights_of_a_model_with_another_adapter_are_refused():
    with pytest.raises(ValueError, match="another adapter"):
        Lora(TINY, targets="q_proj").build(0).put(Lora(TINY, targets="k_proj").build(0).weights())


def test_doras_norms_are_kept_while_sampling_and_forgotten_when_weights_change():
    lm = moved(Lora(TINY, rank=2, kind="dora").build(0))
    decoding, engine = Decoding(max_tokens=12), Native(lm)
    for _ in range(2):
        rows = [t.rows[0] for t in play(engine, ["ab?"] * 4, decoding)]
        for row, said in zip(rows, asyncio.run(engine.score(rows)), strict=True):
            torch.testing.assert_close(row.logprobs[row.sampled], said["logprobs"][row.sampled], atol=1e-5, rtol=0)
        play(engine, ["ab?"] * 4, decoding)  # leaves norms behind
        layer: Any = lm.hf.get_submodule(LAYER)
        sizes = {name: kept.numel() for name, kept in layer.lora_magnitude_vector["default"]._dora_cache.items()}
        assert sizes == {"lora-weight-default": 0, "weight-norm-default": 128}
        lm.put({name: weights * 1.5 for name, weights in lm.weights().items()})


def test_a_base_in_half_precision_learns(base, tmp_path):
    lm = Lora(Pretrained(str(base), dtype="bfloat16"), rank=2, kind="dora").build(0)
    before = held(lm)
    go(tmp_path / "run", replace(stage(), steps=1), {"policy": lm})
    assert all(w.equal(before[n]) == (n not in lm.learned()) for n, w in lm.named_parameters() if "lora_A" not in n)
    assert load(save(lm, tmp_path / "m")).hidden(TOKENS).isfinite().all()


# ------------------------------------------------------------------------------------------------------- export


@pytest.mark.parametrize("kind", ["lora", "rslora", "dora"])
def test_a_merged_export_is_a_plain_model_that_says_the_same(kind, tmp_path):
    lm = moved(Lora(TINY, kind=kind).build(0), by=0.05)
    before = held(lm)
    path = save(lm, tmp_path / "m")
    assert all(weights.equal(before[name]) for name, weights in lm.named_parameters())
    assert not (path / "adapter_config.json").exists()
    again = load(path)
    assert again.adapter is None
    assert {name for name, _ in again.named_parameters()} == {name for name, _ in TINY.build(0).named_parameters()}
    plain: Any = AutoModelForCausalLM.from_pretrained(path)
    with torch.no_grad():
        torch.testing.assert_close(plain(TOKENS).logits, lm.hf(TOKENS).logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", ["qwen2", "gemma3", "phi3", "gpt2"])
def test_an_adapter_kept_apart_is_loaded_by_peft_and_by_us(kind, tmp_path):
    base = folder(kind, tmp_path)
    lm = moved(Lora(Pretrained(str(base)), rank=2, kind="dora", export="apart").build(0))
    path = save(lm, tmp_path / "adapter", card="# mine\n")
    assert (path / "adapter_model.safetensors").stat().st_size < (base / "model.safetensors").stat().st_size / 2
    assert not (path / "model.safetensors").exists()
    assert (path / "README.md").read_text() == "# mine\n"
    said = lm.hf(TOKENS).logits
    theirs = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), str(path))
    torch.testing.assert_close(theirs(TOKENS).logits, said, atol=1e-5, rtol=1e-5)
    ours = load(path)
    assert ours.hf(TOKENS).logits.equal(said)
    assert ours.learned().keys() == lm.learned().keys()
    assert json.loads((save(ours, tmp_path / "once more") / "adapter_config.json").read_text())[
        "base_model_name_or_path"
    ] == str(base)
    alone = load(save(ours, tmp_path / "whole", merge=True))
    torch.testing.assert_close(alone.hf(TOKENS).logits, said, atol=1e-3, rtol=1e-3)


def test_an_adapter_is_evaluated_like_any_model(base, tmp_path):
    lm = Lora(Pretrained(str(base)), rank=2, export="apart").build(0)
    path = save(lm, tmp_path / "adapter")
    found = [evaluate(str(model), asked("chain-sum"), 2, 3, 8) for model in (path, base)]
    assert found[0]["metrics"] == found[1]["metrics"]  # it has not learned yet


def test_an_adapter_replaces_an_older_export(base, tmp_path):
    save(TINY.build(0), tmp_path / "m")
    save(Lora(Pretrained(str(base)), rank=2, export="apart").build(0), tmp_path / "m")
    assert load(tmp_path / "m").adapter is not None


@pytest.mark.parametrize("around", [True, False], ids=["on a made model", "in a made model"])
def test_a_warm_start_and_an_adapter_go_together(around, tmp_path, monkeypatch):
    monkeypatch.setenv("WHET_CACHE", str(tmp_path))
    warm = SFT(task=ChainSum(), steps=1, problems=2)
    tiny = replace(TINY, context=128)
    spec = Lora(Made(tiny, [warm]), rank=2) if around else Made(Lora(tiny, rank=2), [warm])
    lms = [make(spec, 0), make(spec, 0)]
    assert all(a.equal(b) for a, b in zip(lms[0].parameters(), lms[1].parameters(), strict=True))
    assert [lm.adapter is not None for lm in lms] == [around, around]
    if around:
        apart = replace(spec, export="apart")
        assert load(save(make(apart, 0), tmp_path / "out")).adapter is not None


# ------------------------------------------------------------------------------------------------- from the shell


def test_the_command_line_puts_it_on_and_settings_reach_it():
    order = Order("quickstart", lora=8, settings=("model.kind=dora", "model.targets=q_proj", "model.alpha=4"))
    made = find(order).model
    assert isinstance(made, Lora)
    assert isinstance(made.model, Made)
    assert (made.rank, made.kind, made.targets, made.alpha) == (8, "dora", "q_proj", 4.0)
    two = find(replace(order, settings=('model.targets=["q_proj", "v_proj"]', "model.model.model.width=64"))).model
    assert isinstance(two, Lora)
    assert two.targets == ("q_proj", "v_proj")


# ---------------------------------------------------------------------------------------------------- wrong input


@pytest.mark.parametrize(
    ("field", "value"), [("rank", 0), ("rank", -3), ("alpha", 0.0), ("kind", "qlora"), ("export", "both")]
)
def test_an_adapter_that_can_not_be_is_refused(field, value):
    with pytest.raises(ValueError, match=f"Lora.{field} must be .*{value}"):
        Lora(TINY, **{field: value})


@pytest.mark.parametrize("targets", ["query", ("q_proj", "lm_head"), "proj"])
def test_a_target_that_is_not_there_is_refused_with_those_that_are(targets):
    with pytest.raises(ValueError, match="q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj"):
        Lora(TINY, targets=targets).build(0)
    with pytest.raises(ValueError, match="names no layer"):
        Lora(TINY, targets=()).build(0)


def test_targets_of_a_model_of_transposed_layers_are_named_too(tmp_path):
    with pytest.raises(ValueError, match="GPT2LMHeadModel has no linear layer 'q_proj'; it has c_attn, c_proj, c_fc"):
        Lora(Pretrained(str(folder("gpt2", tmp_path))), targets="q_proj").build(0)


def test_a_second_adapter_and_one_without_a_base_to_name_are_refused(base, tmp_path):
    path = save(Lora(Pretrained(str(base)), export="apart").build(0), tmp_path / "adapter")
    with pytest.raises(ValueError, match="has an adapter on already"):
        Lora(Pretrained(str(path))).build(0)
    with pytest.raises(ValueError, match="needs a base with a folder"):
        Lora(TINY, export="apart").build(0)


def test_an_adapter_without_its_base_is_told(base, tmp_path):
    path = save(Lora(Pretrained(str(base)), export="apart").build(0), tmp_path / "adapter")
    base.rename(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match=f"is an adapter for {base}, which can not be loaded"):
        load(path)


def test_an_adapter_on_another_base_or_of_another_kind_is_refused(base, tmp_path):
    path = save(Lora(Pretrained(str(base)), export="apart").build(0), tmp_path / "adapter")
    save(shaken(replace(TINY, width=64)), base)
    with pytest.raises(ValueError, match="does not fit"):
        load(path)
    told = json.loads((path / "adapter_config.json").read_text())
    (path / "adapter_config.json").write_text(json.dumps({**told, "peft_type": "IA3"}))
    with pytest.raises(ValueError, match="another kind than LoRA"):
        load(path)
    (path / "adapter_config.json").write_text("{")
    with pytest.raises(ValueError, match="should hold JSON"):
        load(path)
