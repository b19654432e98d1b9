"""Tiny random models of the families that people train, each with what is its own: windows, tied heads, Conv1D, ..."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
import transformers as hf
from transformers import PreTrainedTokenizerFast

from whet.models.codec import Codec
from whet.models.lm import LM, load, save
from whet.models.tiny import bpe_tokenizer

WINDOW = 8  # tokens that a sliding layer sees: fewer than any prompt and answer here


@cache
def tokenizer() -> PreTrainedTokenizerFast:
    return bpe_tokenizer(["how much is 2+3? it is 5, and 17+8=25."], 300)


def _sizes(**more: Any) -> dict[str, Any]:
    ids = tokenizer()
    return {
        "vocab_size": len(ids),
        "pad_token_id": ids.pad_token_id,
        "bos_token_id": None,
        "eos_token_id": ids.eos_token_id,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": 128,
        "initializer_range": 0.2,
        **more,
    }


def _gpt2() -> Any:
    sizes = _sizes()
    ids = {name: sizes[name] for name in ("vocab_size", "pad_token_id", "bos_token_id", "eos_token_id")}
    shape = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 128, "initializer_range": 0.2}
    return hf.GPT2LMHeadModel(hf.GPT2Config(**ids, **shape))


_MIXED = ["sliding_attention", "full_attention"]
KINDS: dict[str, Callable[[], Any]] = {
    "qwen2": lambda: hf.Qwen2ForCausalLM(hf.Qwen2Config(**_sizes(tie_word_embeddings=True))),
    "qwen3": lambda: hf.Qwen3ForCausalLM(hf.Qwen3Config(**_sizes(head_dim=24))),
    "llama": lambda: hf.LlamaForCausalLM(hf.LlamaConfig(**_sizes())),
    "gemma": lambda: hf.GemmaForCausalLM(hf.GemmaConfig(**_sizes(head_dim=16))),
    "gemma2": lambda: hf.Gemma2ForCausalLM(hf.Gemma2Config(**_sizes(head_dim=16, sliding_window=WINDOW))),
    "gemma3": lambda: hf.Gemma3ForCausalLM(
        hf.Gemma3TextConfig(**_sizes(head_dim=16, sliding_window=WINDOW, layer_types=_MIXED))
    ),
    "mistral": lambda: hf.MistralForCausalLM(hf.MistralConfig(**_sizes(sliding_window=WINDOW))),
    "phi": lambda: hf.PhiForCausalLM(hf.PhiConfig(**_sizes())),
    "phi3": lambda: hf.Phi3ForCausalLM(hf.Phi3Config(**_sizes(sliding_window=WINDOW))),
    "gpt2": _gpt2,
}


@cache
def folder(kind: str, place: Path) -> Path:
    """The model as somebody else would have saved it, below `place`."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = KINDS[kind]()
        with torch.no_grad():
            for name, weights in made.named_parameters():
                if "bias" in name or "norm" in name or "ln_" in name:  # zeros and ones hide what is done with them
                    weights.add_(0.1 * torch.randn(weights.shape))
    return save(LM(made, Codec(tokenizer())), place / kind)


def model(kind: str, place: Path) -> LM:
    return load(folder(kind, place))
