"""Reading contexts: only what no context before had in common with them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache

from whet.engines.cache import Block, Part, Shapes, cropped, stacked
from whet.engines.prefixes import Prefixes
from whet.models.lm import LM
from whet.types import Row

_TOKENS = 16384  # our choice: padded tokens of one forward pass
_PADDING = 256  # our choice: tokens of padding that are cheaper than another forward pass


@dataclass(eq=False)
class Context:
    """What comes before a row's next token."""

    row: Row
    key: np.ndarray  # [T] int64, see `Prefixes.key`
    known: int  # tokens that need not be read
    parts: list[Part]  # keys and values of the known tokens; once it is read, of all
    hidden: Tensor | None = None  # [H]: the state of the last token, once it is read

    def __len__(self) -> int:
        return len(self.row)

    @property
    def new(self) -> int:
        """Tokens to read."""
        return len(self) - self.known


class Reader:
    """`read` gives each row's context; rows with equal contexts get the same one.

    Keys and values come from `prefixes` as far as it has them, and go there. The last token is always read: the state
    that the next one is drawn from is not kept. `tokens` counts what was read; what was written is not among it.
    """

    def __init__(self, lm: LM, room: int) -> None:
        self.lm = lm
        self.prefixes = Prefixes(room)
        self.tokens = 0
        self.shapes: Shapes = ()  # once something was read
        self.takes_positions = "position_ids" in inspect.signature(lm.backbone.forward).parameters

    @torch.no_grad()
    def read(self, rows: Sequence[Row]) -> list[Context]:
        found: dict[bytes, Context] = {}
        out = []
        for row in rows:
            key = self.prefixes.key(row)
            name = key.tobytes()
            if name not in found:
                found[name] = Context(row, key, *self.prefixes.find(key[:-1]))
            out.append(found[name])
        for batch in _batches(list(found.values())):
            self._read(batch)
        return out

    def _read(self, batch: list[Context]) -> None:
        lm, device = self.lm, self.lm.device
        past, new = max(c.known for c in batch), max(c.new for c in batch)
        counts = torch.tensor([c.new for c in batch], device=device)
        inputs: dict[str, Tensor] = {}
        states = []
        if past:
            block = Block(batch[0].parts[0], len(batch), past, past)
            for i, context in enumerate(batch):
                block.fill(slice(i, i + 1), context.parts)
            states = block.states(self.shapes, len(batch))
            known = torch.tensor([c.known for c in batch], device=device)
            columns = torch.arange(past + new, device=device)
            inputs["attention_mask"] = (columns >= past - known[:, None]) & (columns < past + counts[:, None])
            if self.takes_positions:
                inputs["position_ids"] = known[:, None] + torch.arange(new, device=device)
        cache = DynamicCache(states)
        hidden = lm.backbone(**inputs, **self._inputs(batch, new), past_key_values=cache, use_cache=True)
        last = hidden.last_hidden_state[torch.arange(len(batch), device=device), counts - 1]
        layers: list[Any] = cache.layers
        read = [state for layer in layers for state in (layer.keys, layer.values)]
        self.shapes = [(state.shape[1], state.shape[3]) for state in read]
        fresh = stacked([state[:, :, past:] for state in read])
        for i, context in enumerate(batch):
            part = cropped(tuple(tensor[:, i] for tensor in fresh), 0, context.new, copy=True)
            self.prefixes.put(context.key, context.known, part)
            self.tokens += context.new
            context.parts = [*context.parts, part]
            context.hidden = last[i]

    def _inputs(self, batch: list[Context], new: int) -> dict[str, Tensor]:
        """The tokens to read, padded on the right; as vectors where there are media."""
        tokens = torch.full((len(batch), new), self.lm.codec.pad)
        for i, context in enumerate(batch):
            tokens[i, : context.new] = context.row.tokens[context.known :]
        tokens = tokens.to(self.lm.device)
        if not any(c.row.media for c in batch):
            return {"input_ids": tokens}
        vectors = self.lm.embedded(tokens, ())
        for i, context in enumerate(batch):
            vectors[i, : context.new] = self._vectors(context)
        return {"inputs_embeds": vectors}

    def _vectors(self, context: Context) -> Tensor:
        """[new, H]. A medium that is only known in part is encoded as a whole."""
        row, known = context.row, context.known
        start = min([known, *(m.start for m in row.media if m.start < known < m.start + m.length)])
        media = [replace(m, start=m.start - start) for m in row.media if m.start >= start]
        return self.lm.embedded(row.tokens[None, start:].to(self.lm.device), [media])[0, known - start :]


def _batches(contexts: list[Context]) -> Iterator[list[Context]]:
    """Contexts that are read together: of like length, and either all with a past or all without one."""
    batch: list[Context] = []
    tokens = 0
    for context in sorted(contexts, key=lambda c: (c.known > 0, c.new, c.known)):
        padded = (len(batch) + 1) * context.new
        apart = batch and bool(batch[0].known) != bool(context.known)
        if batch and (apart or padded > _TOKENS or padded - tokens - context.new > _PADDING):
            yield batch
            batch, tokens = [], 0
        batch.append(context)
        tokens += context.new
    if batch:
        yield batch
