"""One wave: rows that start together and grow by a token at a time until each has come to its end."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from whet.engines.cache import BlockCache
from whet.engines.sampling import Chosen, choose
from whet.engines.stops import StopStrings
from whet.models.lm import LM
from whet.models.lora import steady
from whet.randomness import uniforms
from whet.types import Decoding, Row, Stop

_BREATH = 16  # our choice: tokens after which the event loop gets a turn even if no row has ended
_SPARE = 64  # our choice: columns that a cache has beyond its prompts before it grows
_SHRINK = 0.75  # our choice: rows that ended leave the batch when at most this share of it goes on


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


async def wave(lm: LM, rows: Sequence[Growing]) -> AsyncIterator[Growing]:
    """Write all `rows`, and give each as soon as it has ended."""
    going = Wave(lm, rows)
    while going.alive:
        ended = going.step()
        for row in ended:
            yield row
        if ended or going.steps % _BREATH == 0:
            await asyncio.sleep(0)


class Wave:
    """The state between two tokens of a wave.

    Each distinct context is read once, without padding before it and with the causal fast path; the rows that share
    it get copies of its keys and values. Prompts of other lengths are then pushed to the right until all end in the
    same column, and a mask hides what is before them.
    """

    def __init__(self, lm: LM, rows: Sequence[Growing]) -> None:
        self.lm = lm
        self.alive = list(rows)  # in the order of the batch; rows that have ended stay until the batch shrinks
        self.steps = 0
        self.draws = torch.zeros(len(rows), max(r.room for r in rows), dtype=torch.float64)
        for i, row in enumerate(rows):
            self.draws[i, : row.room] = torch.from_numpy(uniforms(row.seed, row.room))
        self.stops = {r.decoding.stop: StopStrings(r.decoding.stop, lm.codec.text) for r in rows}
        self.takes_positions = "position_ids" in inspect.signature(lm.backbone.forward).parameters
        self.batch = self.alive
        self.hidden = self._read()

    @torch.no_grad()
    def step(self) -> list[Growing]:
        """One more token for every row; the rows that ended with it."""
        logits = self.lm.logits(self.hidden)
        tokens = self._choose(logits)
        self.steps += 1
        ended = [row for row in self.alive if row.stop]
        self.alive = [row for row in self.alive if not row.stop]
        if self.alive:
            if len(self.alive) <= _SHRINK * len(self.batch):
                tokens = self._shrink(tokens)
            self.hidden = self._forward(tokens)
        return ended

    def _choose(self, logits: Tensor) -> Tensor:
        """A token for each row of the batch: [B]. Rows that have ended repeat their last."""
        tokens = torch.tensor([row.ids[-1] if row.stop else 0 for row in self.batch], device=logits.device)
        for decoding, places in self._kinds():
            at = torch.tensor(places, device=logits.device)
            rows = [self.batch[i] for i in places]
            draws = self.draws[places, self.steps].to(logits.device)
            histories = [_history(row, logits.device) for row in rows] if decoding.processors else ()
            chosen = choose(logits[at], decoding, draws, histories)
            tokens[at] = chosen.tokens
            self._record(rows, decoding, chosen)
        return tokens

    def _kinds(self) -> list[tuple[Decoding, list[int]]]:
        """Places of the rows that go on, by how they are decoded."""
        kinds: list[tuple[Decoding, list[int]]] = []
        for i, row in enumerate(self.batch):
            if not row.stop:
                for decoding, places in kinds:
                    if decoding is row.decoding or decoding == row.decoding:
                        places.append(i)
                        break
                else:
                    kinds.append((row.decoding, [i]))
        return kinds

    def _record(self, rows: list[Growing], decoding: Decoding, chosen: Chosen) -> None:
        columns = chosen.tokens.tolist(), chosen.logprobs.tolist(), chosen.log_kept.tolist()
        kept = chosen.kept.cpu() if decoding.store_mask and chosen.kept is not None else None
        stops, eos = self.stops[decoding.stop], self.lm.codec.eos
        for i, (row, token, logprob, log_kept) in enumerate(zip(rows, *columns, strict=True)):
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

    @torch.no_grad()
    def _read(self) -> Tensor:
        """Read the contexts; [B, H]: the hidden state of each one's last token."""
        contexts: dict[object, int] = {}
        owner = [contexts.setdefault(_context(row.row), len(contexts)) for row in self.batch]
        distinct = [self.batch[owner.index(i)].row for i in range(len(contexts))]
        lengths = torch.tensor([len(row) for row in distinct])
        longest, device = int(lengths.max()), self.lm.device
        tokens = torch.full((len(distinct), longest), self.lm.codec.pad)
        for i, row in enumerate(distinct):
            tokens[i, : len(row)] = row.tokens
        tokens, owners = tokens.to(device), torch.tensor(owner, device=device)
        self.cache = BlockCache(self.lm.hf.config.num_hidden_layers, longest + min(_SPARE, self.draws.shape[1]))
        media = [row.media for row in distinct]
        inputs = {"inputs_embeds": self.lm.embedded(tokens, media)} if any(media) else {"input_ids": tokens}
        hidden = self.lm.backbone(**inputs, past_key_values=self.cache, use_cache=True).last_hidden_state
        last = hidden[torch.arange(len(distinct), device=device), lengths.to(device) - 1]
        shifts = (longest - lengths).to(device)
        self.cache.take(owners)
        self.positions = lengths.to(device)[owners]
        self.mask: Tensor | None = None
        if shifts.any():
            self.cache.push_right(shifts[owners])
            self.mask = torch.arange(longest, device=device) >= shifts[owners][:, None]
        return last[owners]

    def _forward(self, tokens: Tensor) -> Tensor:
        """[B, H] after one more token [B] in every row."""
        if self.mask is not None:
            self.mask = torch.cat([self.mask, self.mask.new_ones(len(tokens), 1)], 1)
        inputs = {"position_ids": self.positions[:, None]} if self.takes_positions else {}
        inputs |= {"input_ids": tokens[:, None], "attention_mask": self.mask}
        with steady(self.lm):  # nobody learns during a wave
            out = self.lm.backbone(**inputs, past_key_values=self.cache, use_cache=True)
        self.positions = self.positions + 1
        return out.last_hidden_state[:, -1]

    def _shrink(self, tokens: Tensor) -> Tensor:
        """Take the rows that have ended out of the batch; which ones depends on the tokens alone."""
        places = [i for i, row in enumerate(self.batch) if not row.stop]
        at = torch.tensor(places, device=tokens.device)
        self.batch, self.draws = self.alive, self.draws[places]
        self.cache.take(at)
        self.positions = self.positions[at]
        self.mask = None if self.mask is None else self.mask[at]
        return tokens[at]


def _context(row: Row) -> object:
    """Equal for rows whose keys and values are equal."""
    return row.tokens.numpy().tobytes(), tuple((m.kind, m.start, m.length, id(m.values)) for m in row.media)


def _history(row: Growing, device: torch.device) -> Tensor:
    return torch.cat([row.row.tokens, torch.tensor(row.ids, dtype=torch.long)]).to(device)
