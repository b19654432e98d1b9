"""One wave: rows that grow by a token at a time until each has come to its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from whet.engines.cache import Block
from whet.engines.graphs import Replays
from whet.engines.reading import Context, Reader
from whet.engines.sampling import Chosen, choose
from whet.engines.stops import StopStrings
from whet.models.lora import steady
from whet.randomness import uniforms
from whet.types import Decoding, Row, Stop

_BREATH = 16  # our choice: tokens after which the event loop gets a turn even if no row has ended
_SPARE = 64  # our choice: a block has room for at least so many more columns, or for as many as it has
_SHRINK = 0.75  # our choice: rows that ended make way when at most this share of the batch goes on
_REFILL = 0.75  # rows that wait are read when at most this share of the places is taken: docs/decisions/refill.md


@dataclass
class Growing:
    """A row that is being written."""

    row: Row
    decoding: Decoding
    seed: int
    room: int  # tokens it may get: the smaller of max_tokens and what the context has left
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    log_kept: list[float] = field(default_factory=list)
    kept: list[Tensor] = field(default_factory=list)  # [V] bool each, where `store_mask` asks for them
    draws: np.ndarray = field(default_factory=lambda: np.empty(0))  # [room] float64, once it has begun
    stop: Stop = ""

    def written(self, model: str, version: int) -> tuple[Row, dict[str, Tensor]]:
        """The new tokens as a row, and the tracks over them."""
        count = len(self.ids)
        row = Row(
            tokens=torch.tensor(self.ids, dtype=torch.long),
            sampled=torch.ones(count, dtype=torch.bool),
            trained=torch.ones(count, dtype=torch.bool),
            logprobs=torch.tensor(self.logprobs),
            versions=torch.full((count,), version, dtype=torch.int32),
            model=model,
            temperature=self.decoding.temperature,
            truncated=self.decoding.truncates,
        )
        tracks = {"log_kept": torch.tensor(self.log_kept)} if self.decoding.truncates else {}
        if self.kept:
            tracks["kept"] = torch.stack(self.kept)
        return row, tracks


async def wave(
    reader: Reader, rows: Sequence[Growing], limit: int, replays: Replays | None = None
) -> AsyncIterator[Growing]:
    """Write all `rows`, at most `limit` at a time, and give each as soon as it has ended. With `replays` a step is
    played as a graph."""
    going = Wave(reader, rows, limit, replays)
    while going.alive:
        ended = going.step()
        for row in ended:
            yield row
        if ended or going.steps % _BREATH == 0:
            await asyncio.sleep(0)


class Wave:
    """The state between two tokens of a wave.

    Contexts lie in a block so that all end in the same column, and a mask hides what is before them. Rows that have
    ended stay until enough of them can make way for others, or let the block shrink.
    """

    def __init__(self, reader: Reader, rows: Sequence[Growing], limit: int, replays: Replays | None = None) -> None:
        self.reader, self.lm, self.limit, self.replays = reader, reader.lm, limit, replays
        self.queue = list(rows)  # those that have not begun
        self.batch: list[Growing] = []
        self.going: list[int] = []  # places in the batch of the rows that have not ended
        self.keys: list[np.ndarray] = []  # of their contexts
        self.block = Block((), 0, 0, 0)
        self.positions = torch.empty(0, dtype=torch.long, device=self.lm.device)  # [B]: each row's filled columns
        self.steps = 0
        self.stops = {r.decoding.stop: StopStrings(r.decoding.stop, self.lm.codec.text) for r in rows}
        reader.prefixes.check(self.lm)
        if replays is not None:
            replays.check()
        if rows:
            self._admit()

    @property
    def alive(self) -> bool:
        return bool(self.going or self.queue)

    @torch.no_grad()
    def step(self) -> list[Growing]:
        """One more token for every row; the rows that ended with it."""
        tokens = self._choose(self.lm.logits(self.hidden))
        self.steps += 1
        ended = [i for i in self.going if self.batch[i].stop]
        for i in ended:
            self._keep(i)
        rows = [self.batch[i] for i in ended]
        if ended:
            self.going = [i for i in self.going if not self.batch[i].stop]
            self.kinds = _kinds(self.batch, self.going)
        if self.going:
            if self.block.width == self.block.room or (not self.queue and len(self.going) <= _SHRINK * len(self.batch)):
                tokens = tokens[self._arrange()]
            self.hidden = self._forward(tokens)
        if self.queue and len(self.going) <= _REFILL * self.limit:
            self._admit()
        return rows

    def _choose(self, logits: Tensor) -> Tensor:
        """A token for each row of the batch: [B]. Rows that have ended get one that nobody sees."""
        tokens = logits.new_zeros(len(logits), dtype=torch.long)
        for decoding, places in self.kinds:
            at = torch.tensor(places, device=logits.device)
            rows = [self.batch[i] for i in places]
            draws = torch.tensor([row.draws[len(row.ids)] for row in rows], dtype=torch.float64, device=logits.device)
            histories = [_history(row, logits.device) for row in rows] if decoding.processors else ()
            chosen = choose(logits[at], decoding, draws, histories)
            tokens[at] = chosen.tokens
            self._record(rows, decoding, chosen)
        return tokens

    def _record(self, rows: list[Growing], decoding: Decoding, chosen: Chosen) -> None:
        columns = torch.stack([chosen.tokens.double(), chosen.logprobs.double(), chosen.log_kept.double()]).tolist()
        kept = chosen.kept.cpu() if decoding.store_mask and chosen.kept is not None else None
        stops, eos = self.stops[decoding.stop], self.lm.codec.eos
        for i, (row, number, logprob, log_kept) in enumerate(zip(rows, *columns, strict=True)):
            token = int(number)
            row.ids.append(token)
            row.logprobs.append(logprob)
            row.log_kept.append(log_kept)
            if kept is not None:
                row.kept.append(kept[i])
            if token in eos:
                row.stop = "eos"
            elif token in decoding.stop_tokens or stops.complete(row.ids):
                row.stop = "stop"
            elif len(row.ids) >= row.room:
                row.stop = "length"

    def _admit(self) -> None:
        """Let rows that wait take the places that are free."""
        free = self.limit - len(self.going)
        new, self.queue = self.queue[:free], self.queue[free:]
        read = self.reader.read([row.row for row in new])
        for row in new:
            row.draws = uniforms(row.seed, row.room)
        states = torch.stack([c.hidden for c in read if c.hidden is not None])
        stay = self._arrange(new, read)
        self.hidden = torch.cat([self.hidden[stay], states]) if stay else states

    def _arrange(self, new: Sequence[Growing] = (), read: Sequence[Context] = ()) -> list[int]:
        """The rows that go on, and new ones behind them; the places where the old ones were. Of these, all but the
        last stay where they are, so that little is moved."""
        count = len(self.going)
        late = [i for i in self.going if i >= count]
        taken = set(self.going)
        order = [i if i in taken else late.pop() for i in range(count)]
        lengths = [*self.positions[order].tolist(), *map(len, read)]
        self.batch = [*(self.batch[i] for i in order), *new]
        self.keys = [*(self.keys[i] for i in order), *(c.key for c in read)]
        self._make_room(order, max(lengths), read)
        for rows, context in _runs(read, count):
            self.block.fill(rows, context.parts)
        self.going = list(range(len(self.batch)))
        self.kinds = _kinds(self.batch, self.going)
        self.positions = torch.tensor(lengths, device=self.lm.device)
        if self.replays is None:
            self.cache = self.block.cache(self.reader.shapes, len(self.batch))
            columns = torch.arange(self.block.room, device=self.lm.device)
            hidden = self.block.width - self.positions
            self.mask = columns >= hidden[:, None] if min(lengths) < self.block.width else None
        return order

    def _make_room(self, order: Sequence[int], longest: int, read: Sequence[Context]) -> None:
        """The rows of `order` move together, into a new block if the old one is too small for all of the batch."""
        old, rows = self.block, len(self.batch)
        suits = rows <= old.rows if self.replays is None else self.replays.suits(old, rows)
        if suits and longest <= old.width < old.room:
            old.move(order)
            return
        left = max(row.room - len(row.ids) for row in self.batch)
        room = longest + min(max(_SPARE, longest), left)
        like = tuple(tensor[:, 0] for tensor in old.tensors) if order else read[0].parts[0]
        if self.replays is None:
            self.block = Block(like, rows, longest, room)
        else:
            self.block = self.replays.block(like, rows, longest, room, old)
        if order:
            self.block.copy(old, order)

    def _forward(self, tokens: Tensor) -> Tensor:
        """[B, H] after one more token [B] in every row."""
        self.block.width += 1
        with steady(self.lm):  # nobody learns during a wave
            hidden = self._states(tokens)
        self.positions = (self.positions + 1).clamp(max=self.lm.context - 1)  # rows that have ended go no further
        return hidden

    def _states(self, tokens: Tensor) -> Tensor:
        if self.replays is not None:
            return self.replays.forward(self.block, tokens, self.positions, self.reader.shapes)
        inputs = {"position_ids": self.positions[:, None]} if self.reader.takes_positions else {}
        inputs |= {"input_ids": tokens[:, None]}
        if self.mask is not None:
            inputs["attention_mask"] = self.mask[:, : self.block.width]
        out = self.lm.backbone(**inputs, past_key_values=self.cache, use_cache=True)
        return out.last_hidden_state[:, -1]

    def _keep(self, i: int) -> None:
        """Keep what row i has written, but for its last token, which nothing was computed for."""
        row, key = self.batch[i], self.keys[i]
        count = len(row.ids) - 1
        if count:
            whole = np.concatenate([key, np.array(row.ids[:-1])])
            self.reader.prefixes.put(whole, len(key), self.block.last(i, count))


def _kinds(batch: Sequence[Growing], going: Sequence[int]) -> list[tuple[Decoding, list[int]]]:
    """Places of the rows that go on, by how they are decoded."""
    kinds: list[tuple[Decoding, list[int]]] = []
    for i in going:
        wanted = batch[i].decoding
        for decoding, places in kinds:
            if decoding is wanted or decoding == wanted:
                places.append(i)
                break
        else:
            kinds.append((wanted, [i]))
    return kinds


def _runs(contexts: Sequence[Context], start: int) -> Iterator[tuple[slice, Context]]:
    """Rows from `start` on whose contexts are one and the same, side by side."""
    for context, run in groupby(contexts, key=lambda c: c):
        count = len(list(run))
        yield slice(start, start + count), context
        start += count


def _history(row: Growing, device: torch.device) -> Tensor:
    return torch.cat([row.row.tokens, torch.tensor(row.ids, dtype=torch.long)]).to(device)
