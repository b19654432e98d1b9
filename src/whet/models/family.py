"""The Llama family: decoders whose forward pass is known here in full, so that C++ may do it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from whet.models.lm import LM

_KNOWN = ("Qwen2ForCausalLM", "LlamaForCausalLM", "MistralForCausalLM", "Qwen3ForCausalLM")
_ROPES = ("default", "linear", "llama3", "yarn")  # those whose angles depend on the position alone
_BEHIND = ("logit_scale", "logits_scaling", "final_logit_softcapping")  # see LM.logits


def refusal(lm: LM) -> str:
    """Why the fast tier can not play this model; "" if it can. It computes exactly what it knows, and nothing else."""
    hf, config = lm.hf, lm.hf.config
    kind = type(hf).__name__
    if any(p.device.type != "cpu" for p in hf.parameters()):
        return "the fast one is for CPUs"
    if lm.adapter is not None:
        return "the model has an adapter on"
    if kind not in _KNOWN or not type(hf).__module__.startswith("transformers."):
        return f"the fast one does not know {kind}"
    if any(p.dtype != torch.float32 for p in hf.parameters()):
        return "the weights are not fp32"
    if set(getattr(config, "layer_types", None) or ()) - {"full_attention"} or (
        kind == "MistralForCausalLM" and config.sliding_window is not None
    ):
        return "the model has sliding windows"
    rope = config.rope_parameters.get("rope_type", "default")
    attention = lm.backbone.layers[0].self_attn
    if rope not in _ROPES or 2 * len(lm.backbone.rotary_emb.inv_freq) != attention.head_dim:
        return f"its rotary embedding ({rope}) is of another kind"
    if config.hidden_act != "silu":
        return f"its activation is {config.hidden_act}"
    if any(getattr(config, name, None) is not None for name in _BEHIND):
        return "it does something behind its output head"
    if any(type(linear) is not nn.Linear for linear in linears(lm)):
        return "its linear layers are not plain ones"
    if hf.get_input_embeddings().weight.shape != hf.get_output_embeddings().weight.shape:
        return "its embeddings and its output head have other sizes"
    return ""


def linears(lm: LM) -> Iterator[Any]:
    yield lm.hf.get_output_embeddings()
    for layer in lm.backbone.layers:
        yield from layer_linears(layer)


def layer_linears(layer: Any) -> tuple[Any, ...]:
    a, m = layer.self_attn, layer.mlp
    return a.q_proj, a.k_proj, a.v_proj, a.o_proj, m.gate_proj, m.up_proj, m.down_proj
