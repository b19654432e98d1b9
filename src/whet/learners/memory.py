"""How much memory a training run will take at its worst moment, said before it; and the micro-batch that fits."""

from __future__ import annotations

import ctypes
import os
import platform
from bisect import bisect_right
from dataclasses import dataclass, fields
from pathlib import Path

import torch

from whet.machines.profile import Machine
from whet.models.family import refusal
from whet.models.lm import LM

LOGITS = 2**24  # our choice: the learner holds at most so many logits at once (64 MiB in fp32)
KEPT = 2**30  # bytes of keys and values that an engine keeps: the default of engines.native.Native
SHARE = 0.6  # our choice: of the machine's memory for what is predicted; the rest is for what is not, and for others
MOST = {"cpu": 2**14, "cuda": 2**16}  # our choice: tokens of a micro-batch, beyond which nothing gets faster
# Measured: the interpreter with torch and transformers, once a model has learned; CUDA's context with its libraries.
_PROCESS = {"cpu": 480 * 2**20, "cuda": 840 * 2**20}
_LIMIT = Path("/sys/fs/cgroup/memory.max")  # a container's own limit
_TRIM, _MAP = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of glibc's malloc.h


@dataclass(frozen=True)
class Sizes:
    """What of a model decides how much memory it takes. Counts of numbers, unless it says otherwise."""

    parameters: int
    learned: int  # parameters that learn: with an adapter on, the adapter's
    layers: int
    width: int  # H, of a token's state
    inter: int  # I, width of the feed-forward layer
    heads: int
    attended: int  # A, what the attention of a token gives: heads * head
    qkv: int  # Q, a token's queries, keys and values
    normed: int  # of these, those that pass norms of their own
    vocab: int  # V
    fused: bool  # learned from through learners.fused, and not through the library's own modules
    fast: bool  # played by the fast tier

    @property
    def cached(self) -> int:
        """Bytes of a token's keys and values, in all layers."""
        return 4 * self.layers * (self.qkv - self.attended)

    @property
    def linear(self) -> tuple[int, int]:
        """Weights of a layer's inputs (queries, keys, values, gate, up), and of its outputs."""
        return self.width * (self.qkv + 2 * self.inter), self.width * (self.attended + self.inter)


def sizes(lm: LM, fused: bool) -> Sizes:
    """The sizes of a model. What a config does not say is as in most: a head for each key, a feed-forward layer of four
    widths."""
    config = lm.hf.config
    heads = config.num_attention_heads
    head = getattr(config, "head_dim", None) or lm.width // heads
    groups = getattr(config, "num_key_value_heads", None) or heads
    norms = any(name.endswith("q_norm") for name, _ in lm.named_modules())
    return Sizes(
        parameters=sum(p.numel() for p in lm.parameters()),
        learned=sum(p.numel() for p in lm.learned().values()),
        layers=config.num_hidden_layers,
        width=lm.width,
        inter=getattr(config, "intermediate_size", None) or 4 * lm.width,
        heads=heads,
        attended=heads * head,
        qkv=(heads + 2 * groups) * head,
        normed=(heads + groups) * head if norms else 0,
        vocab=lm.vocab,
        fused=fused,
        fast=not refusal(lm),
    )


@dataclass(frozen=True)
class Memory:
    """Bytes held at the worst moment of a training run, which is in a backward pass, by what holds them."""

    process: int  # the interpreter and its libraries
    weights: int  # the learner's
    copies: int  # of weights: the engine's own, and those laid out anew for the fast engine and the fused decoder
    optimizer: int  # AdamW's two moments
    gradients: int
    cache: int  # keys and values of what is played
    activations: int  # what the forward pass keeps for the backward pass
    moment: int  # the logits with all that is computed from them, or a layer's backward pass, whichever is more

    @property
    def total(self) -> int:
        return sum(getattr(self, field.name) for field in fields(self))


def predicted(sizes: Sizes, machine: Machine, tokens: int, played: int = 0, others: int = 0) -> Memory:
    """The memory of a run in which one model is played and learns.

    `tokens`: of one micro-batch: the nodes of a packed one, with the padding of a padded one. `played`: tokens of a
    whole step, prompts included; fewer than `tokens` means as many. `others`: further copies of the weights: a
    reference, a frozen model of the same size, `ahead` + 1 versions that are kept.

    For every token the forward pass keeps, with the names of `Sizes`:

        fused:  4 layers (2 H + Q + A + 2 I + heads)                    bytes: _Decoder.save_for_backward
        else:   layers (4 (4 H + 2 normed) + b (2 H + Q + 2 A + 4 I))   bytes, b = 2 under autocast to bf16, else 4

    and with checkpointing only 4 layers H. Of the logits of n = min(tokens, 2**24 / V) tokens there are five copies at
    the worst: the logits, their log-softmax, and three within the entropy.
    """
    played = max(played, tokens)
    state, matrices = 4 * sizes.width, sum(sizes.linear) * sizes.layers
    kept, passing = _of_a_layer(sizes, machine.precision)
    kept, passing = (state, kept + passing) if machine.checkpointing else (kept, passing)
    copies = 4 * sizes.learned + 4 * others * sizes.parameters
    if sizes.fast and machine.engine != "reference":
        copies += 4 * (matrices + sizes.vocab * sizes.width)
    if sizes.fused:
        copies += 4 * sizes.linear[0] * sizes.layers
    if machine.precision == "bf16":
        copies += 2 * matrices  # autocast casts each weight once in a pass
    together = played > tokens and sizes.fused  # a micro-batch's gradients beside those of the ones before it
    rows = min(tokens, max(1, LOGITS // sizes.vocab))
    head = 4 * sizes.vocab * sizes.width  # the output head's gradient, before it is added to the embedding's
    return Memory(
        process=_PROCESS.get(torch.device(machine.device).type, _PROCESS["cuda"]),
        weights=4 * sizes.parameters,
        copies=copies,
        optimizer=8 * sizes.learned,
        gradients=4 * sizes.learned * (2 if together else 1),
        cache=min(sizes.cached * played, KEPT),
        activations=tokens * (sizes.layers * kept + 5 * state),  # 5: embedded, last, normed, taken out, its gradient
        moment=max(5 * 4 * rows * sizes.vocab + head, tokens * passing),
    )


def _of_a_layer(sizes: Sizes, precision: str) -> tuple[int, int]:
    """Bytes that a layer keeps of a token, and those that its backward pass holds beside them."""
    h, i, a, q = sizes.width, sizes.inter, sizes.attended, sizes.qkv
    if sizes.fused:
        return 4 * (2 * h + q + a + 2 * i + sizes.heads), 4 * (3 * h + q + a + i)
    number = 2 if precision == "bf16" else 4
    kept = 4 * (4 * h + 2 * sizes.normed) + number * (2 * h + q + 2 * a + 4 * i)
    return kept, 4 * 2 * h + number * (h + q + a + 3 * i)


def fitting(sizes: Sizes, machine: Machine, longest: int, total: int) -> int:
    """Tokens of a micro-batch: as many as keep the prediction within 0.6 of `total` bytes, at most `MOST`; the number
    depends on nothing that changes while a machine runs. `longest`: tokens of the longest row, which is not split.

    ValueError if already that row needs more than there is.
    """
    kept = KEPT // sizes.cached
    need = predicted(sizes, machine, longest, kept).total
    if need > total:
        raise ValueError(
            f"a row of {longest} tokens needs {need / 2**30:.1f} GiB to learn from, and this machine has "
            f"{total / 2**30:.1f}; take Machine(checkpointing=True), a smaller model or shorter rows, "
            "or set Machine.micro_tokens to go on regardless"
        )
    most = MOST[torch.device(machine.device).type]
    room = SHARE * total
    return max(1, bisect_right(range(1, most + 1), room, key=lambda n: predicted(sizes, machine, n, kept).total))


def keep_freed() -> None:
    """Let glibc keep up to 1 GiB of what was freed, and serve blocks of up to 32 MiB (its greatest threshold) from it.

    A training step frees what the next one asks for again, and a page that comes back from the kernel is cleared first:
    a tenth of a step of a model of 6M parameters. Nothing where the user has set malloc's thresholds, or without glibc.
    """
    chosen = {"MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES"} & os.environ.keys()
    if not chosen and platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_MAP, 2**25)
        libc.mallopt(_TRIM, 2**30)


def memory_of(device: str) -> int:
    """Bytes that a machine has in all, used or not: a GPU's, or a CPU's within its container."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = _LIMIT.read_text().strip() if _LIMIT.exists() else "max"
    return whole if limit == "max" else min(whole, int(limit))
