"""Decode steps as CUDA graphs. A step of a small model is a few hundred kernels, and to launch them one by one takes
longer than they run; a graph launches all of them at once, on memory that stays where it was when it was captured."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin

from whet.engines.cache import Block, Part, Shapes
from whet.models.lm import LM

_KEPT, _BYTES = 8, 2**32  # our choice: blocks that are kept, and their bytes; those used longest ago go first
_ROWS, _ROOM = 8, 128  # our choice: the least sizes of a block; greater ones are twice as large, and so on


def replayable(lm: LM) -> bool:
    """Whether the model's decode steps can be captured: on a GPU, each layer sees everything before, and its attention
    is the library's. An adapter's weights may be others from step to step, so a model with one is not."""
    config = lm.hf.config
    kinds = set(getattr(config, "layer_types", None) or ("full_attention",))
    windows = not getattr(config, "layer_types", None) and getattr(config, "sliding_window", None) is not None
    return lm.device.type == "cuda" and lm.adapter is None and kinds == {"full_attention"} and not windows and lm.packs


class Replays:
    """Blocks of few different sizes, used again and again, and a graph of a decode step for each.

    `capture` False: the same step, launched kernel by kernel; for a device without graphs.
    """

    def __init__(self, lm: LM, capture: bool = True) -> None:
        self.lm, self.capture = lm, capture
        self.steps: list[_Step] = []  # that used last comes last
        self.places: tuple[int, ...] = ()
        self.captured = 0

    def check(self) -> None:
        """Forget the graphs if the weights are no longer where they were. New numbers in the same place are fine."""
        places = tuple(parameter.data_ptr() for parameter in self.lm.parameters())
        if places != self.places:
            self.steps, self.places = [], places

    def suits(self, block: Block, rows: int) -> bool:
        """Whether so many rows are played in this block, and not in a smaller or a larger one."""
        return block.rows == _size(rows, _ROWS)

    def block(self, like: Part, rows: int, width: int, room: int, held: Block) -> Block:
        """An empty block with at least so many rows and columns, other than `held`."""
        wanted = _size(rows, _ROWS), _size(room, _ROOM)
        for step in self.steps:
            if (step.block.rows, step.block.room) == wanted and step.block is not held:
                for tensor in step.block.tensors:
                    tensor.zero_()
                step.block.width = width
                return step.block
        block = Block(like, wanted[0], width, wanted[1])
        while self.steps and (
            len(self.steps) == _KEPT or block.size + sum(step.block.size for step in self.steps) > _BYTES
        ):
            del self.steps[0]
        self.steps.append(_Step(self.lm, block))
        return block

    def forward(self, block: Block, tokens: Tensor, positions: Tensor, shapes: Shapes) -> Tensor:
        """[B, H] after one more token [B] in the first B rows, which lies in the block's last filled column. It is
        good until the next call."""
        step = next(step for step in self.steps if step.block is block)
        self.steps.remove(step)
        self.steps.append(step)
        count = len(tokens)
        step.tokens[:count] = tokens
        step.positions[:count] = positions
        step.column.fill_(block.width - 1)
        if step.cache is None:
            step.begin(shapes)
            if self.capture:
                step.record()
                self.captured += 1
        step.go()
        return step.hidden[:count]


class _Step:
    """One decode step of all rows of a block. What it reads is in tensors that are written before it goes."""

    def __init__(self, lm: LM, block: Block) -> None:
        self.lm, self.block = lm, block
        self.tokens, self.positions = torch.zeros(2, block.rows, dtype=torch.long, device=lm.device)
        self.column = torch.zeros(1, dtype=torch.long, device=lm.device)
        self.columns = torch.arange(block.room, device=lm.device)
        self.cache: Cache | None = None
        self.graph: Any = None
        self.hidden = torch.empty(0)

    def begin(self, shapes: Shapes) -> None:
        states = self.block.states(shapes, self.block.rows)
        self.cache = Cache(layers=[_Column(keys, values, self.column) for keys, values in states])

    def record(self) -> None:
        """Capture the step. It is done once before, so that libraries have made what they make at their first call."""
        side = torch.cuda.Stream(self.lm.device)
        side.wait_stream(torch.cuda.current_stream(self.lm.device))
        with torch.cuda.stream(side):
            self._forward()
        torch.cuda.current_stream(self.lm.device).wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            self._forward()
        self.graph = graph

    def go(self) -> None:
        if self.graph is None:
            self._forward()
        else:
            self.graph.replay()

    def _forward(self) -> None:
        first = self.column - self.positions  # [R]: a row's first column
        seen = (self.columns >= first[:, None]) & (self.columns <= self.column)
        out = self.lm.backbone(
            input_ids=self.tokens[:, None],
            position_ids=self.positions[:, None],
            attention_mask=seen[:, None, None],
            past_key_values=self.cache,
            use_cache=True,
        )
        self.hidden = out.last_hidden_state[:, -1]


class _Column(CacheLayerMixin):
    """The keys and values of one layer, [B, heads, room, size] each, all of which are given to attention; what is new
    goes into column `column` [1]."""

    is_sliding = False

    def __init__(self, keys: Tensor, values: Tensor, column: Tensor) -> None:
        super().__init__()
        self.keys, self.values, self.column = keys, values, column
        self.is_initialized = True

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None: ...

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        assert self.keys is not None and self.values is not None
        self.keys.index_copy_(2, self.column, key_states)
        self.values.index_copy_(2, self.column, value_states)
        return self.keys, self.values

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        assert self.keys is not None
        return self.keys.shape[2], 0

    def get_seq_length(self) -> int:
        return 0  # never asked where positions are given

    def get_max_length(self) -> int:
        return -1


def _size(count: int, least: int) -> int:
    """The least of `least`, twice, four times, ... that is at least `count`."""
    return least * 2 ** max(0, ((count - 1) // least).bit_length())
