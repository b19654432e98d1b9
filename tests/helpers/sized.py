"""Models of given sizes that write on and on."""

from __future__ import annotations

from typing import Any

import torch
import transformers as hf

from whet.models.codec import Codec
from whet.models.lm import LM
from whet.models.tiny import character_tokenizer


def built(kind: str, context: int, **sizes: int) -> LM:
    """Random weights; far more tokens than the tokenizer knows, so that rows go on to their last token."""
    kinds = {"qwen2": (hf.Qwen2Config, hf.Qwen2ForCausalLM), "qwen3": (hf.Qwen3Config, hf.Qwen3ForCausalLM)}
    config, make = kinds[kind]
    torch.manual_seed(0)
    return LM(make(config(max_position_embeddings=context, **sizes)), Codec(character_tokenizer()))


def shape(width: int, layers: int, heads: int, vocab: int, **more: Any) -> dict[str, Any]:
    """Sizes as transformers names them; two heads share a key, and the feed-forward layer has four widths."""
    inner = {"hidden_size": width, "intermediate_size": 4 * width, "num_hidden_layers": layers}
    outer = {"num_attention_heads": heads, "num_key_value_heads": heads // 2, "vocab_size": vocab}
    return {**inner, **outer, "tie_word_embeddings": True, **more}
