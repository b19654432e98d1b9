"""The decoder of the Llama family on a CPU, for learning: torch's matrix products, and C++ for all that is between."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from whet.building import CannotBuild, library
from whet.models.family import layer_linears, refusal
from whet.models.lm import LM
from whet.models.packing import Packing

_SOURCE = Path(__file__).with_name("fused.cpp")
_WEIGHTS = 12  # of a layer, in the order of `_layer`


class _Sizes(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int32) for name in ("heads", "groups", "head", "threads")]


class _Forest(ctypes.Structure):
    _fields_ = [(name, ctypes.c_void_p) for name in ("row", "start", "stop", "trees", "places")] + [
        (name, ctypes.c_int64) for name in ("count", "width")
    ]


def fused(lm: LM) -> Fused | None:
    """The fused decoder of a model, or None where it can not be had: another architecture, a GPU, no compiler."""
    if refusal(lm) or any(_unknown(layer) for layer in lm.backbone.layers):
        return None
    try:
        return Fused(lm, library(_SOURCE, openmp=True))
    except CannotBuild:
        return None


def _unknown(layer: Any) -> bool:
    """Norms of queries and keys (Qwen3), and biases other than those of all three of queries, keys and values."""
    q, k, v, *others = (linear.bias is not None for linear in layer_linears(layer))
    return hasattr(layer.self_attn, "q_norm") or any(others) or not q == k == v


@dataclass(frozen=True)
class Shape:
    """What the kernels know of a decoder."""

    width: int  # H
    inter: int
    heads: int
    groups: int  # heads of keys and values
    head: int  # numbers of a head
    eps: float

    @property
    def step(self) -> int:
        """Numbers of a node's queries, keys and values."""
        return (self.heads + 2 * self.groups) * self.head


class Fused:
    """`fused(packing)`: what `LM.packed` says, [N, H], from the same parameters, to which gradients go."""

    def __init__(self, lm: LM, lib: ctypes.CDLL) -> None:
        self.lm = lm
        config, attention = lm.hf.config, lm.backbone.layers[0].self_attn
        self.shape = Shape(
            config.hidden_size,
            config.intermediate_size,
            config.num_attention_heads,
            config.num_key_value_heads,
            attention.head_dim,
            config.rms_norm_eps,
        )
        self.kernels = Kernels(lib, self.shape)

    def __call__(self, packing: Packing, checkpoint: bool = False) -> Tensor:
        inner = self.lm.backbone
        embedded = self.lm.hf.get_input_embeddings()(packing.tokens)
        with torch.no_grad():
            angles = inner.rotary_emb(embedded, packing.positions[None])
        half = self.shape.head // 2
        cos, sin = (a[0, :, :half].contiguous() for a in angles)
        weights = [weight for layer in inner.layers for weight in _layer(layer)]
        return _Decoder.apply(
            embedded, Pass(self.kernels, _Paths(packing), cos, sin, checkpoint), inner.norm.weight, *weights
        )


def _layer(layer: Any) -> tuple[Tensor | None, ...]:
    a, m = layer.self_attn, layer.mlp
    inputs = (a.q_proj, a.k_proj, a.v_proj)
    return (
        layer.input_layernorm.weight,
        *(linear.weight for linear in inputs),
        *(linear.bias for linear in inputs),
        a.o_proj.weight,
        layer.post_attention_layernorm.weight,
        m.gate_proj.weight,
        m.up_proj.weight,
        m.down_proj.weight,
    )


class _Paths:
    """A packed batch as the kernels read it."""

    def __init__(self, packing: Packing) -> None:
        parts = packing.segments
        self.count = len(packing)
        roots = np.flatnonzero(parts.start == 0)  # a tree begins where nothing is shared with what was before
        self.held = [parts.row, parts.start, parts.stop, np.append(roots, len(parts.row)), packing.places.numpy()]
        places = [np.ascontiguousarray(x, np.int64) for x in self.held]
        self.held = places
        self.forest = _Forest(*(x.ctypes.data for x in places), len(roots), packing.places.shape[1])


class Kernels:
    """The functions of fused.cpp on tensors."""

    def __init__(self, lib: ctypes.CDLL, shape: Shape) -> None:
        self.lib = lib
        self.shape = shape

    @property
    def sizes(self) -> _Sizes:
        shape = self.shape
        return _Sizes(shape.heads, shape.groups, shape.head, torch.get_num_threads())

    def norm(self, x: Tensor, weight: Tensor) -> Tensor:
        y = torch.empty_like(x)
        self.lib.whet_norm(*_at(x, weight, y), *self._rows(x))
        return y

    def norm_back(self, x: Tensor, weight: Tensor, dy: Tensor, dx: Tensor) -> Tensor:
        """Adds to `dx`; the gradient of the weight."""
        dweight = torch.zeros_like(weight)
        self.lib.whet_norm_back(*_at(x, weight, dy, dx, dweight), *self._rows(x))
        return dweight

    def _rows(self, x: Tensor) -> tuple:
        return ctypes.c_int64(len(x)), x.shape[1], ctypes.c_float(self.shape.eps), torch.get_num_threads()

    def gate(self, gated: Tensor) -> Tensor:
        y = gated.new_empty(len(gated), self.shape.inter)
        self.lib.whet_gate(*_at(gated, y), ctypes.c_int64(len(y)), self.shape.inter, torch.get_num_threads())
        return y

    def gate_back(self, gated: Tensor, dy: Tensor) -> None:
        self.lib.whet_gate_back(*_at(gated, dy), ctypes.c_int64(len(dy)), self.shape.inter, torch.get_num_threads())

    def turn(self, qkv: Tensor, cos: Tensor, sin: Tensor, back: bool = False) -> None:
        s = self.shape
        self.lib.whet_turn(
            *_at(qkv, cos, sin),
            ctypes.c_int64(len(qkv)),
            s.step,
            s.heads + s.groups,
            s.head,
            back,
            torch.get_num_threads(),
        )

    def attend(self, qkv: Tensor, paths: _Paths) -> tuple[Tensor, Tensor]:
        s = self.shape
        out, logs = qkv.new_empty(len(qkv), s.heads * s.head), qkv.new_empty(len(qkv), s.heads)
        self.lib.whet_attend(*_at(qkv, out, logs), ctypes.byref(paths.forest), ctypes.byref(self.sizes))
        return out, logs

    def attend_back(self, qkv: Tensor, out: Tensor, logs: Tensor, dout: Tensor, paths: _Paths) -> Tensor:
        dqkv = torch.zeros_like(qkv)
        self.lib.whet_attend_back(
            *_at(qkv, out, logs, dout, dqkv), ctypes.byref(paths.forest), ctypes.byref(self.sizes)
        )
        return dqkv


def _at(*tensors: Tensor) -> tuple[ctypes.c_void_p, ...]:
    for tensor in tensors:
        assert tensor.is_contiguous() and tensor.dtype == torch.float32
    return tuple(ctypes.c_void_p(tensor.data_ptr()) for tensor in tensors)


@dataclass(frozen=True)
class Pass:
    """What one forward pass is about, beside the weights."""

    kernels: Kernels
    paths: _Paths
    cos: Tensor  # [N, head / 2]
    sin: Tensor
    checkpoint: bool


class _Decoder(torch.autograd.Function):
    """All layers and the final norm: x [N, H] -> [N, H]."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, about: Pass, norm: Tensor, *weights: Tensor | None) -> Tensor:
        ctx.about = about
        kept: list[Tensor] = []
        ctx.layers = [Layer(about, weights[i : i + _WEIGHTS]) for i in range(0, len(weights), _WEIGHTS)]
        for layer in ctx.layers:
            kept.append(x)
            x, inside = layer.forward(x)
            kept += () if about.checkpoint else inside
        ctx.norm = norm
        ctx.save_for_backward(*kept, x)
        return about.kernels.norm(x, norm)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple:  # type: ignore[override]
        kernels, kept = ctx.about.kernels, list(ctx.saved_tensors)
        dx = torch.zeros_like(grads[0])
        dnorm = kernels.norm_back(kept.pop(), ctx.norm, grads[0].contiguous(), dx)
        out: list[Tensor | None] = []
        for layer in reversed(ctx.layers):
            inside = () if ctx.about.checkpoint else [kept.pop() for _ in range(5)][::-1]
            x = kept.pop()
            if ctx.about.checkpoint:
                _, inside = layer.forward(x)
            dx, dweights = layer.backward(x, inside, dx)
            out = [*dweights, *out]
        return dx, None, dnorm, *out


class Layer:
    """One layer: x + attention(norm(x)), then + SwiGLU(norm(...))."""

    def __init__(self, about: Pass, weights: tuple) -> None:
        self.about = about
        self.first, self.q, self.k, self.v, qb, kb, vb, self.o, self.second, self.gate, self.up, self.down = weights
        self.qkv = torch.cat([self.q, self.k, self.v])
        self.biases = (qb, kb, vb)
        self.bias = None if qb is None else torch.cat(self.biases)
        self.gated = torch.cat([self.gate, self.up])

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        about, kernels = self.about, self.about.kernels
        normed = kernels.norm(x, self.first)
        qkv = torch.mm(normed, self.qkv.t()) if self.bias is None else torch.addmm(self.bias, normed, self.qkv.t())
        kernels.turn(qkv, about.cos, about.sin)
        out, logs = kernels.attend(qkv, about.paths)
        middle = torch.addmm(x, out, self.o.t())
        gated = torch.mm(kernels.norm(middle, self.second), self.gated.t())
        return torch.addmm(middle, kernels.gate(gated), self.down.t()), (qkv, out, logs, middle, gated)

    def backward(self, x: Tensor, inside: Any, dx: Tensor) -> tuple[Tensor, list[Tensor | None]]:
        """The gradient of the input, in the place of `dx`, and those of the weights. `gated` is used up."""
        about, kernels = self.about, self.about.kernels
        qkv, out, logs, middle, gated = inside
        passed = torch.mm(dx, self.down)
        kernels.gate_back(gated, passed)  # now the gradient of `gated`, and what came through the gate
        ddown = torch.mm(dx.t(), passed)
        normed = kernels.norm(middle, self.second)
        dgated = torch.mm(gated.t(), normed)
        dsecond = kernels.norm_back(middle, self.second, torch.mm(gated, self.gated, out=normed), dx)
        do = torch.mm(dx.t(), out)
        dqkv = kernels.attend_back(qkv, out, logs, torch.mm(dx, self.o), about.paths)
        kernels.turn(dqkv, about.cos, about.sin, back=True)
        normed = kernels.norm(x, self.first)
        dweight = torch.mm(dqkv.t(), normed)
        dfirst = kernels.norm_back(x, self.first, torch.mm(dqkv, self.qkv, out=normed), dx)
        sizes = [len(self.q), len(self.k), len(self.v)]
        dbias = [None] * 3 if self.bias is None else list(dqkv.sum(0).split(sizes))
        return dx, [dfirst, *dweight.split(sizes), *dbias, do, dsecond, *dgated.chunk(2), ddown]
