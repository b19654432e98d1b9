"""The arithmetic floor: how long the multiply-adds that nobody can leave out take at the machine's best rate.

A multiply-add is two operations. For T tokens in all (every distinct prompt once, and every completion token), of which
C are completion tokens, and with P parameters in the linear layers of the decoder's blocks, H x V in the output head,
and L layers whose n heads are d wide, a forward pass takes

    F = 2 P T + 2 H V C + sum over tokens 4 L n d (place of the token, counted from 1),

the last being the two products of attention: a token's query with all keys up to itself, and the weights with the
values. The backward pass takes twice as much. So

    generation >= F / rate,   training step >= 3 F / rate,   whole step >= 4 F / rate,

where the rate is the most fp32 operations per second that oneDNN's or torch's linear layer reached on any of the
model's own shapes; on a GPU, that of a product of two large matrices. Everything else (norms, softmax, sampling,
reading weights and caches, Python) counts as waste.

On a GPU, decoding is bound by memory: see `decoding_bytes`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

PARTS = {"generation": 1, "training": 3, "step": 4}  # forward passes that each is worth


@dataclass(frozen=True)
class Shape:
    """What of a model the multiply-adds depend on."""

    width: int
    layers: int
    heads: int
    kv_heads: int
    head: int
    inter: int
    vocab: int

    @classmethod
    def of(cls, config: Any) -> Shape:
        """From a Hugging Face config."""
        heads = config.num_attention_heads
        return cls(
            config.hidden_size,
            config.num_hidden_layers,
            heads,
            config.num_key_value_heads,
            getattr(config, "head_dim", None) or config.hidden_size // heads,
            config.intermediate_size,
            config.vocab_size,
        )

    @property
    def linears(self) -> dict[str, tuple[int, int]]:
        """(in, out) of the linear layers of a block, those with the same input as one."""
        return {
            "qkv": (self.width, (self.heads + 2 * self.kv_heads) * self.head),
            "o": (self.heads * self.head, self.width),
            "gate and up": (self.width, 2 * self.inter),
            "down": (self.inter, self.width),
        }

    @property
    def parameters(self) -> int:
        """P."""
        return self.layers * sum(a * b for a, b in self.linears.values())


def forward_operations(shape: Shape, groups: Sequence[tuple[int, Sequence[int]]]) -> int:
    """F for groups of (length of the prompt, lengths of the completions)."""
    completions = sum(sum(lengths) for _, lengths in groups)
    tokens = completions + sum(prompt for prompt, _ in groups)
    places = sum(_places(0, prompt) + sum(_places(prompt, length) for length in lengths) for prompt, lengths in groups)
    attention = 4 * shape.layers * shape.heads * shape.head * places
    return 2 * shape.parameters * tokens + 2 * shape.width * shape.vocab * completions + attention


def _places(before: int, count: int) -> int:
    """(before + 1) + ... + (before + count)."""
    return count * before + count * (count + 1) // 2


def decoding_bytes(shape: Shape, groups: Sequence[tuple[int, Sequence[int]]], together: int, number: int = 4) -> int:
    """Bytes that decoding has to read, with `together` groups in one batch and `number` bytes to a weight: for every
    token of the batch's longest completion all weights once, and for every token of a completion the keys and values
    of the tokens before it and its own."""
    steps = sum(max(max(c) for _, c in groups[i : i + together]) for i in range(0, len(groups), together))
    places = sum(_places(prompt, length) for prompt, lengths in groups for length in lengths)
    weights = shape.parameters + shape.width * shape.vocab
    return number * (steps * weights + 2 * shape.layers * shape.kv_heads * shape.head * places)


def of_gpu(precision: str, seconds: float = 0.5) -> dict[str, float]:
    """The most operations per second of a product of two matrices of 8192 x 8192, and the most bytes per second of a
    copy of 2 GiB, read and written."""
    size, dtype = 8192, torch.bfloat16 if precision == "bf16" else torch.float32
    a, b = torch.randn(2, size, size, device="cuda").to(dtype)
    source = torch.randn(2**29, device="cuda")
    into = torch.empty_like(source)

    def finished(call: Callable[[], Tensor]) -> Tensor:
        out = call()
        torch.cuda.synchronize()
        return out

    best = 2 * size**3 / _fastest(lambda: finished(lambda: a @ b), seconds)
    return {"best": best, "bytes": 2 * source.nbytes / _fastest(lambda: finished(lambda: into.copy_(source)), seconds)}


def rate(shape: Shape, counts: Sequence[int], seconds: float = 0.15) -> dict[str, float]:
    """Operations per second of each kernel at its best shape, for `counts` of tokens at once, and the best of all."""
    best: dict[str, float] = {}
    for rows, (inputs, outputs) in product(counts, {*shape.linears.values()}):
        x, w = torch.randn(rows, inputs), torch.randn(outputs, inputs)
        for name, multiply in _kernels(w).items():
            reached = 2 * rows * inputs * outputs / _fastest(lambda m=multiply, x=x: m(x), seconds)
            best[name] = max(best.get(name, 0.0), reached)
    return {**best, "best": max(best.values())}


def _kernels(w: Tensor) -> dict[str, Callable[[Tensor], Tensor]]:
    kernels: dict[str, Callable[[Tensor], Tensor]] = {"torch": lambda x: functional.linear(x, w)}
    if torch.backends.mkldnn.is_available():
        packed = torch.ops.mkldnn._reorder_linear_weight(w)
        kernels["oneDNN"] = lambda x: torch.ops.mkldnn._linear_pointwise(x, packed, None, "none", [], "")
        kernels["oneDNN, weights as they are"] = lambda x: torch.ops.mkldnn._linear_pointwise(
            x, w, None, "none", [], ""
        )
    return kernels


@torch.no_grad()
def _fastest(call: Callable[[], Tensor], seconds: float) -> float:
    """The shortest of the calls within so many seconds."""
    call()
    until, fastest = time.perf_counter() + seconds, float("inf")
    while (started := time.perf_counter()) < until:
        call()
        fastest = min(fastest, time.perf_counter() - started)
    return fastest
