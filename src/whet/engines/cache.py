"""Keys and values of a batch in one block of memory per layer, as a cache that `transformers` models take."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin


class BlockLayer(CacheLayerMixin):
    """[B, heads, room, head size], filled from the left. It grows by doubling, so that long limits cost nothing
    until they are needed. Layers with a sliding window keep everything too: their mask forgets for them."""

    is_sliding = False

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room
        self.length = 0
        self.blocks: list[Tensor] = []

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        self.blocks = [x.new_zeros(*x.shape[:2], self.room, x.shape[3]) for x in (key_states, value_states)]
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start, self.length = self.length, self.length + key_states.shape[2]
        if self.length > self.room:
            self.room = max(self.length, 2 * self.room)
            self.blocks = [_widened(block, self.room, start) for block in self.blocks]
        for block, states in zip(self.blocks, (key_states, value_states), strict=True):
            block[:, :, start : self.length] = states
        keys, values = (block[:, :, : self.length] for block in self.blocks)
        return keys, values

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.length + query_length, 0

    def get_seq_length(self) -> int:
        return self.length

    def get_max_length(self) -> int:
        return -1  # none

    def take(self, rows: Tensor) -> None:
        """Row i becomes what row rows[i] was."""
        self.blocks = [block.index_select(0, rows) for block in self.blocks]

    def push_right(self, shifts: Tensor) -> None:
        """Move row i by shifts[i] columns to the right, so that prompts of any length end in the same column."""
        columns = (torch.arange(self.length, device=shifts.device) - shifts[:, None]) % self.length
        for block in self.blocks:
            block[:, :, : self.length] = block[:, :, : self.length].take_along_dim(columns[:, None, :, None], 2)


class BlockCache(Cache):
    """One `BlockLayer` per layer of the model."""

    def __init__(self, layers: int, room: int) -> None:
        self.stack = [BlockLayer(room) for _ in range(layers)]
        super().__init__(layers=[*self.stack])

    def take(self, rows: Tensor) -> None:
        for layer in self.stack:
            layer.take(rows)

    def push_right(self, shifts: Tensor) -> None:
        for layer in self.stack:
            layer.push_right(shifts)


def _widened(block: Tensor, room: int, filled: int) -> Tensor:
    wider = block.new_zeros(*block.shape[:2], room, block.shape[3])
    wider[:, :, :filled] = block[:, :, :filled]
    return wider
