"""What a model would say next while another one writes: contexts that grow by a token from call to call."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from whet.engines.cache import Block
from whet.engines.reading import Context, Reader
from whet.models import surgery
from whet.models.lm import LM
from whet.models.lora import steady

_SPARE = 64  # our choice: a block has room for so many more tokens


class Following:
    """`following(contexts)` are the logits [n, V] of the token behind each context, float32.

    Keys and values of the last call's contexts are kept: one that is such a context and a token more costs the reading
    of that token, be there one of it or several. Any other is read as far as `reader` does not know its beginning.
    Equal contexts are read once. Everything goes on `forget`, and when the model's weights may have changed.
    """

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.forget()

    def forget(self) -> None:
        """Keep nothing."""
        self.places: dict[bytes, int] = {}  # of the contexts in the block
        self.lengths: list[int] = []
        self.block = Block((), 0, 0, 0)
        self.stamp: tuple[int, ...] = ()

    @property
    def lm(self) -> LM:
        return self.reader.lm

    @torch.no_grad()
    def __call__(self, contexts: Sequence[Tensor]) -> Tensor:
        self.reader.prefixes.check(self.lm)
        if self.stamp != (stamp := self.lm.stamp()):
            self.forget()
            self.stamp = stamp
        held = [context.cpu() for context in contexts]
        keys = [context.numpy().tobytes() for context in held]
        distinct = dict(zip(keys, held, strict=True))
        before = {key: self.places.get(key[: -context.element_size()]) for key, context in distinct.items()}
        grown = [key for key in distinct if before[key] is not None]
        fresh = [key for key in distinct if before[key] is None]
        read = self.reader.read([surgery.given(distinct[key].tolist(), "", trained=False) for key in fresh])
        states = []
        if grown:
            self._take([place for key in grown if (place := before[key]) is not None])
            states.append(self._grow(torch.stack([distinct[key][-1] for key in grown])))
        if fresh:
            self._add(read, len(grown))
            states += [context.hidden[None] for context in read if context.hidden is not None]
        order = [*grown, *fresh]
        self.places = {key: place for place, key in enumerate(order)}
        self.lengths = [len(distinct[key]) for key in order]
        logits = self.lm.logits(torch.cat(states)).float()
        return logits[torch.tensor([self.places[key] for key in keys], device=logits.device)]

    def _take(self, places: Sequence[int]) -> None:
        """Row i becomes what row places[i] was, with room for one more token."""
        old = self.block
        self.lengths = [self.lengths[place] for place in places]
        if len(places) <= old.rows and old.width < old.room:
            old.move(places)
            return
        longest = max(self.lengths)
        self.block = Block(tuple(x[:, 0] for x in old.tensors), len(places), longest, longest + _SPARE)
        self.block.copy(old, places)

    def _grow(self, tokens: Tensor) -> Tensor:
        """[n, H] after one more token [n] in each of the first n rows."""
        device, block = self.lm.device, self.block
        lengths = torch.tensor(self.lengths, device=device)
        inputs = {"position_ids": lengths[:, None]} if self.reader.takes_positions else {}
        cache = block.cache(self.reader.shapes, len(self.lengths))
        block.width += 1
        if min(self.lengths) < block.width - 1:
            columns = torch.arange(block.width, device=device)
            inputs["attention_mask"] = columns >= block.width - 1 - lengths[:, None]
        with steady(self.lm):  # nobody learns while somebody writes
            out = self.lm.backbone(
                input_ids=tokens.to(device)[:, None], **inputs, past_key_values=cache, use_cache=True
            )
        return out.last_hidden_state[:, -1]

    def _add(self, read: Sequence[Context], count: int) -> None:
        """Put contexts that were read behind the first `count` rows."""
        old, longest = self.block, max(map(len, read))
        width = max(longest, old.width) if count else longest
        self.block = Block(read[0].parts[0], count + len(read), width, width + _SPARE)
        if count:
            self.block.copy(old, range(count))
        for i, context in enumerate(read, count):
            self.block.fill(slice(i, i + 1), context.parts)
