import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.model_small import generated, shaken
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BertConfig,
    BertLMHeadModel,
    CohereConfig,
    CohereForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    GraniteConfig,
    GraniteForCausalLM,
    Qwen2ForCausalLM,
)

from whet.models.codec import Codec
from whet.models.lm import LM, load, save
from whet.models.pretrained import Pretrained
from whet.models.tiny import TinyLlama, TinyQwen, character_tokenizer
from whet.types import Media

CHARS = character_tokenizer()
SIZES: dict[str, Any] = {
    "vocab_size": len(CHARS),
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": None,
    "eos_token_id": 1,
}


def folder_of(hf: Any, path: Path) -> Path:
    hf.save_pretrained(path)
    CHARS.save_pretrained(path)
    return path


@pytest.mark.parametrize(
    "make",
    [
        lambda: Gemma2ForCausalLM(Gemma2Config(**SIZES, final_logit_softcapping=0.3)),
        lambda: CohereForCausalLM(CohereConfig(**SIZES, logit_scale=0.25)),
        lambda: GraniteForCausalLM(GraniteConfig(**SIZES, logits_scaling=7.0)),
        lambda: GPT2LMHeadModel(GPT2Config(vocab_size=len(CHARS), n_embd=16, n_layer=2, n_head=2, n_positions=64)),
    ],
    ids=["gemma2", "cohere", "granite", "gpt2"],
)
def test_the_head_is_the_models_own_with_its_quirks(make, tmp_path):
    lm = load(folder_of(make(), tmp_path / "m"))
    tokens = torch.randint(0, lm.vocab, (2, 11), generator=torch.Generator().manual_seed(0))
    own = lm.hf(input_ids=tokens).logits
    torch.testing.assert_close(lm.logits(lm.hidden(tokens).flatten(0, 1)), own.flatten(0, 1), atol=1e-5, rtol=1e-5)
    assert lm.context == 64


def test_the_stamp_changes_with_the_weights_and_only_then():
    lm = TinyQwen(layers=1).build(0)
    first = lm.stamp()
    lm.hidden(torch.tensor([[5, 6]]))
    assert lm.stamp() == first
    lm.put(lm.weights())
    second = lm.stamp()
    assert second != first
    with torch.no_grad():
        next(lm.parameters()).add_(1.0)
    assert lm.stamp() not in (first, second)


def test_a_quirk_that_is_not_known_is_refused(tmp_path, monkeypatch):
    forward = Qwen2ForCausalLM.forward

    def odd(self: Any, *args: Any, **kwargs: Any) -> Any:
        out: Any = forward(self, *args, **kwargs)
        out.logits += 1.0
        return out

    path = save(TinyQwen(layers=1).build(0), tmp_path / "m")
    monkeypatch.setattr(Qwen2ForCausalLM, "forward", odd)
    with pytest.raises(ValueError, match="Qwen2ForCausalLM"):
        load(path)


def test_padding_on_the_right_changes_nothing_before_it():
    lm = shaken(TinyQwen())
    tokens = torch.randint(3, lm.vocab, (1, 9), generator=torch.Generator().manual_seed(1))
    padded = torch.cat([tokens, torch.zeros(1, 5, dtype=torch.long)], 1)
    torch.testing.assert_close(lm.hidden(padded)[:, :9], lm.hidden(tokens), atol=1e-5, rtol=0)


def test_dropout_is_off_even_in_training():
    config = TinyLlama().build(0).hf.config
    config.attention_dropout = 0.5
    lm = LM(AutoModelForCausalLM.from_config(config), Codec(CHARS)).train()
    tokens = torch.randint(3, lm.vocab, (1, 9), generator=torch.Generator().manual_seed(1))
    assert torch.equal(lm.hidden(tokens), lm.hidden(tokens))
    assert not lm.training
    assert not any(m.training for m in lm.modules())
    assert lm.hf.config.attention_dropout == 0.0


def test_checkpointed_activations_give_the_same_gradients():
    lm = shaken(TinyQwen())
    tokens = torch.randint(3, lm.vocab, (2, 9), generator=torch.Generator().manual_seed(1))
    grads = []
    for checkpoint in (False, True):
        lm.zero_grad()
        lm.hidden(tokens, checkpoint=checkpoint).square().sum().backward()
        grads.append([p.grad.clone() for p in lm.parameters() if p.grad is not None])
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b)
    assert not any(m.training for m in lm.modules())


def test_a_value_head_starts_at_zero_and_comes_back_from_a_folder(tmp_path):
    lm = TinyQwen(layers=1).build(0).add_value_head()
    hidden = lm.hidden(torch.tensor([[5, 6, 7]]))[0]
    assert lm.values(hidden).tolist() == [0.0, 0.0, 0.0]
    assert lm.value_head is not None
    nn.init.ones_(lm.value_head.weight)
    path = save(lm, tmp_path / "m")
    again = load(path, value_head=True)
    torch.testing.assert_close(again.values(hidden), lm.values(hidden))
    assert load(path).value_head is None
    with pytest.raises(ValueError, match="value head"):
        load(path).values(hidden)


def test_media_take_the_place_of_token_embeddings():
    lm = TinyQwen(layers=1).build(0)
    lm.encoders["patch"] = nn.Linear(4, 96)
    tokens = torch.tensor([[5, 0, 0, 9], [5, 6, 7, 9]])
    medium = Media("patch", torch.ones(2, 4), length=2, start=1)
    vectors = lm.embedded(tokens, [[medium], []])
    expected = lm.encoders["patch"](medium.values)
    assert torch.equal(vectors[0, 1:3], expected)
    assert torch.equal(vectors[1], lm.hf.get_input_embeddings()(tokens[1]))
    lm.hidden(tokens, None, [[medium], []]).sum().backward()
    weight = lm.encoders["patch"].weight
    assert isinstance(weight, torch.Tensor)
    assert weight.grad is not None
    assert weight.grad.abs().sum() > 0


def test_media_without_encoder_or_of_another_length_are_refused():
    lm = TinyQwen(layers=1).build(0)
    tokens = torch.zeros(1, 4, dtype=torch.long)
    with pytest.raises(ValueError, match="no encoder"):
        lm.hidden(tokens, None, [[Media("sound", torch.ones(1, 4), 1)]])
    lm.encoders["sound"] = nn.Linear(4, 96)
    with pytest.raises(ValueError, match="gave"):
        lm.hidden(tokens, None, [[Media("sound", torch.ones(1, 4), 2)]])


@pytest.mark.parametrize("tiny", [TinyQwen(context=64), TinyLlama(context=64)])
def test_an_export_writes_the_same_greedy_text_in_plain_transformers(tiny, tmp_path):
    lm = shaken(tiny)
    path = save(lm, tmp_path / "model", card="# A card\n")
    hf: Any = AutoModelForCausalLM.from_pretrained(path)
    tokenizer = AutoTokenizer.from_pretrained(path)
    ids = tokenizer.apply_chat_template([{"role": "user", "content": "2+3"}], add_generation_prompt=True)["input_ids"]
    tokens = torch.tensor(ids)
    assert tokenizer.decode(tokens) == "<user>2+3<assistant>"
    out = hf.generate(tokens[None], max_new_tokens=30)[0, len(tokens) :].tolist()
    assert out == generated(lm, tokens, 30)
    assert (path / "README.md").read_text() == "# A card\n"
    assert (path / "model.safetensors").exists()
    assert json.loads((path / "generation_config.json").read_text())["eos_token_id"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_a_loaded_export_is_the_same_model(tmp_path):
    lm = shaken(TinyQwen(context=64))
    again = Pretrained(str(save(lm, tmp_path / "m"))).build(0)
    assert all(torch.equal(a, b) for a, b in zip(lm.parameters(), again.parameters(), strict=True))
    assert (again.context, again.codec.eos, again.codec.pad) == (64, lm.codec.eos, lm.codec.pad)
    assert {p.dtype for p in load(tmp_path / "m", torch.bfloat16).parameters()} == {torch.bfloat16}


def test_an_export_replaces_an_older_one_and_nothing_else(tmp_path):
    save(TinyQwen(layers=1).build(0), tmp_path / "m")
    newer = save(TinyQwen(layers=2).build(0), tmp_path / "m")
    assert load(newer).hf.config.num_hidden_layers == 2
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    with pytest.raises(ValueError, match="no model"):
        save(TinyQwen(layers=1).build(0), tmp_path / "mine")
    assert (tmp_path / "mine" / "notes.txt").read_text() == "keep"


def test_stop_ids_of_a_generation_config_are_eos_too(tmp_path):
    hf = TinyQwen(layers=1).build(0).hf
    hf.generation_config.eos_token_id = [1, 9]
    lm = load(folder_of(hf, tmp_path / "m"))
    assert lm.codec.eos == (1, 9)
    assert json.loads((save(lm, tmp_path / "n") / "generation_config.json").read_text())["eos_token_id"] == [1, 9]


def test_a_copy_of_a_model_shares_nothing_with_it():
    lm = TinyQwen(layers=1).build(0)
    twin = copy.deepcopy(lm)
    with torch.no_grad():
        for weights in twin.parameters():
            weights.zero_()
    assert all(weights.abs().sum() > 0 for name, weights in lm.named_parameters() if "bias" not in name)
    assert twin.hf.lm_head.weight is twin.hf.model.embed_tokens.weight


def test_a_name_that_is_nowhere_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no model at"):
        load(tmp_path / "missing")


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(ValueError, match="there is no config"):
        load(tmp_path)


def test_a_folder_without_a_tokenizer_is_refused(tmp_path):
    TinyQwen(layers=1).build(0).hf.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="no tokenizer"):
        load(tmp_path)


def test_a_model_that_looks_ahead_is_refused(tmp_path):
    sizes = {k: v for k, v in SIZES.items() if k not in ("num_key_value_heads", "head_dim")}
    path = folder_of(BertLMHeadModel(BertConfig(**sizes, initializer_range=1.0)), tmp_path / "m")
    with pytest.raises(ValueError, match="caus"):
        load(path)


def test_a_folder_of_another_kind_of_model_is_refused(tmp_path):
    CHARS.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "vit"}))
    with pytest.raises(ValueError, match="causal language model"):
        load(tmp_path)


def test_an_unknown_precision_is_refused():
    with pytest.raises(ValueError, match="dtype"):
        Pretrained("x", dtype="int8")
