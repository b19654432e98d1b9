"""Keys and values in blocks of memory, and as a cache that `transformers` models take.

Layers whose keys and values have one shape lie in one tensor [n, ...], n counting keys and values of all of them: so a
row or a stretch of tokens is copied in one call, not in one per layer. Mostly all layers are alike. A **part** is a
stretch of one context: per shape [n, heads, t, size].
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin

Part = tuple[Tensor, ...]
Shapes = Sequence[tuple[int, int]]  # (heads, size) of the keys and of the values of each layer in turn


def stacked(states: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Per shape [n, B, heads, T, size] of what layers hold, keys and values in turn: each [B, heads, T, size]."""
    alike: dict[tuple[int, int], list[Tensor]] = {}
    for state in states:
        alike.setdefault((state.shape[1], state.shape[3]), []).append(state)
    return tuple(torch.stack(group) for group in alike.values())


def cropped(part: Part, start: int, stop: int, copy: bool = False) -> Part:
    """Tokens `start : stop` of a part."""
    cut = (tensor[:, :, start:stop] for tensor in part)
    return tuple(tensor.clone() for tensor in cut) if copy else tuple(cut)


class Block:
    """The contexts of a batch: per shape [n, B, heads, room, size], filled up to column `width`, where all end.

    What is before a row's first token means nothing, but it is numbers: a mask that hides it suffices.
    """

    def __init__(self, like: Part, rows: int, width: int, room: int) -> None:
        self.tensors = tuple(x.new_zeros(x.shape[0], rows, x.shape[1], room, x.shape[3]) for x in like)
        self.rows, self.width, self.room = rows, width, room

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(tensor.nbytes for tensor in self.tensors)

    def fill(self, rows: slice, parts: Sequence[Part]) -> None:
        """Put the parts of one context into each of `rows`."""
        end = self.width
        for part in reversed(parts):
            start = end - part[0].shape[2]
            for into, tensor in zip(self.tensors, part, strict=True):
                into[:, rows, :, start:end] = tensor[:, None]
            end = start

    def copy(self, old: Block, rows: Sequence[int]) -> None:
        """Row i becomes what row rows[i] of `old` is, as far back as there is room."""
        span, places = min(self.width, old.width), torch.tensor(rows, dtype=torch.long)
        for into, tensor in zip(self.tensors, old.tensors, strict=True):
            kept = tensor[:, :, :, old.width - span : old.width].index_select(1, places.to(tensor.device))
            into[:, : len(rows), :, self.width - span : self.width] = kept

    def move(self, rows: Sequence[int]) -> None:
        """Row i becomes what row rows[i] is; cheap where most stay in their places."""
        places = [i for i, row in enumerate(rows) if row != i]
        if places:
            for tensor in self.tensors:
                tensor[:, places] = tensor[:, [rows[i] for i in places]]

    def last(self, row: int, count: int) -> Part:
        """A copy of a row's last `count` tokens."""
        return tuple(tensor[:, row, :, self.width - count : self.width].clone() for tensor in self.tensors)

    def states(self, shapes: Shapes, rows: int) -> list[tuple[Tensor, Tensor]]:
        """Each layer's (keys, values) [rows, heads, room, size], as views. `shapes`: what the layers hold."""
        kinds = list(dict.fromkeys(shapes))
        left = [list(tensor[:, :rows]) for tensor in self.tensors]
        flat = [left[kinds.index(shape)].pop(0) for shape in shapes]
        return list(zip(flat[::2], flat[1::2], strict=True))

    def cache(self, shapes: Shapes, rows: int) -> Cache:
        """The first `rows` rows for a model to go on with. `width` does not follow what it adds."""
        return Cache(layers=[BlockLayer(k, v, self.width) for k, v in self.states(shapes, rows)])


class BlockLayer(CacheLayerMixin):
    """The keys and values of one layer, [B, heads, room, size] each, filled up to column `length`. Layers with a
    sliding window keep everything too: their mask forgets for them."""

    is_sliding = False

    def __init__(self, keys: Tensor, values: Tensor, length: int) -> None:
        super().__init__()
        self.keys, self.values, self.length = keys, values, length
        self.is_initialized = True

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None: ...

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        assert self.keys is not None and self.values is not None
        start, self.length = self.length, self.length + key_states.shape[2]
        self.keys[:, :, start : self.length] = key_states
        self.values[:, :, start : self.length] = value_states
        return self.keys[:, :, : self.length], self.values[:, :, : self.length]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.length + query_length, 0

    def get_seq_length(self) -> int:
        return self.length

    def get_max_length(self) -> int:
        return -1  # none
