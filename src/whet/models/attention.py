"""Attention over packed rows, for any model that takes its attention from transformers' interface."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AttentionInterface

from whet.models.packing import Bucket, Packing

NAME = "whet_packed"  # as transformers knows it; no mask is registered by this name, so it makes none
_SHORT = 64  # our choice: up to so many keys two batched products are faster on a CPU than the fused kernel

_packing: ContextVar[Packing] = ContextVar("packing")


@contextmanager
def packed(config: Any, packing: Packing) -> Iterator[None]:
    """Inside, a model of this config takes its tokens [1, N] for the nodes of `packing`."""
    usual, token = config._attn_implementation, _packing.set(packing)
    config._attn_implementation = NAME
    try:
        yield
    finally:
        config._attn_implementation = usual
        _packing.reset(token)


def attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """softmax(scaling * q k^T) v over each node's own path from the root: query [1, heads, N, D], key and value
    [1, kv heads, N, D]; gives [1, N, heads, D]. `softcap` c puts c tanh(x / c) in the place of a score x."""
    packing = _packing.get()
    q, k, v = (x.transpose(1, 2).reshape(x.shape[2], -1) for x in (query, key, value))
    heads, groups, depth, wide = query.shape[1], key.shape[1], query.shape[3], value.shape[3]
    scale = depth**-0.5 if scaling is None else scaling
    answers = []
    for bucket in packing.buckets:
        n, asked, seen = bucket.shape
        part = (
            q.index_select(0, bucket.queries).view(n, asked, heads, depth),
            k.index_select(0, bucket.keys).view(n, seen, groups, depth),
            v.index_select(0, bucket.keys).view(n, seen, groups, wide),
        )
        fused = softcap is None and (seen > _SHORT or q.device.type != "cpu")
        out = (_fused if fused else _products)(*part, bucket, scale, sliding_window, softcap)
        answers.append(out.reshape(n * asked, heads * wide))
    out = torch.cat(answers).index_select(0, packing.answers)
    return out.view(1, len(packing), heads, wide), None


def _products(
    q: Tensor, k: Tensor, v: Tensor, bucket: Bucket, scaling: float, window: int | None, softcap: float | None
) -> Tensor:
    """[n, Q, heads, D] by two batched products; query heads that share a key head are asked together."""
    n, asked, heads, depth = q.shape
    seen, groups = k.shape[1:3]
    each = heads // groups
    q = (q * scaling).view(n, asked, groups, each, depth).permute(0, 2, 3, 1, 4).reshape(n * groups, -1, depth)
    k = k.permute(0, 2, 3, 1).reshape(n * groups, depth, seen)
    v = v.transpose(1, 2).reshape(n * groups, seen, -1)
    scores = torch.bmm(q, k).view(n, groups, each, asked, seen)
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    scores = scores.masked_fill(~bucket.mask(window)[:, None], -torch.inf)
    shares = scores.softmax(-1, dtype=torch.float32).to(v.dtype)
    out = torch.bmm(shares.view(n * groups, each * asked, seen), v)
    return out.view(n, groups, each, asked, -1).permute(0, 3, 1, 2, 4).reshape(n, asked, heads, -1)


def _fused(
    q: Tensor, k: Tensor, v: Tensor, bucket: Bucket, scaling: float, window: int | None, softcap: float | None
) -> Tensor:
    """[n, Q, heads, D] by torch's own kernel, which keeps no [Q, K] in memory. On a GPU it takes a mask and shared key
    heads only one at a time, and with both falls back to one that does keep it."""
    shared = q.shape[2] // k.shape[2]
    if shared > 1 and q.device.type != "cpu":
        k, v = (x.repeat_interleave(shared, 2) for x in (k, v))
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    out = F.scaled_dot_product_attention(
        q, k, v, attn_mask=bucket.mask(window), scale=scaling, enable_gqa=q.shape[1] != k.shape[1]
    )
    return out.transpose(1, 2)


AttentionInterface.register(NAME, attention)
