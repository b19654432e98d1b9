"""The fast tier: fp32 models of the Llama family on a CPU, decoded by `fast.cpp` on its own threads.

Rows are submitted whenever a coroutine asks and come back as soon as they have ended; nobody waits for a wave. A row's
tokens and log-probs do not depend, to the bit, on who is decoded beside it, nor on which of its keys and values were
there already.
"""

from __future__ import annotations

import asyncio
import ctypes
import functools
import itertools
import os
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from whet.building import CannotBuild, library
from whet.engines.stops import StopStrings
from whet.models import surgery
from whet.models.family import layer_linears, refusal
from whet.models.lm import LM
from whet.types import Decoding, Row, Stop, Trajectory, Turn, tokens_in

_SOURCE = Path(__file__).with_name("fast.cpp")
_GOING, _EOS, _STOP, _LENGTH, _ASKS, _DIVERGED, _NO_MEMORY = range(7)
_STOPS: dict[int, Stop] = {_EOS: "eos", _STOP: "stop", _LENGTH: "length"}
_MOST = 256  # our choice: rows that are collected at once
_SOON = 32  # our choice: so many rows are submitted without waiting for those that are asked for in the same breath

Tier = Literal["auto", "reference", "fast"]


class _Shape(ctypes.Structure):
    _names = ("width", "layers", "heads", "kv_heads", "head", "inter", "vocab", "context", "threads", "rows")
    _fields_ = (*((name, ctypes.c_int32) for name in _names), ("eps", ctypes.c_float), ("bytes", ctypes.c_int64))


class _Way(ctypes.Structure):
    _fields_ = (
        ("temperature", ctypes.c_float),
        ("top_k", ctypes.c_int32),
        ("top_p", ctypes.c_double),
        ("min_p", ctypes.c_double),
        ("eos", ctypes.c_void_p),
        ("stops", ctypes.c_void_p),
        ("eos_count", ctypes.c_int32),
        ("stop_count", ctypes.c_int32),
        ("asks", ctypes.c_void_p),
        ("window", ctypes.c_int32),
    )


@dataclass(frozen=True)
class Sampled:
    """What a row was given, and why it ended."""

    ids: list[int]
    tokens: Tensor  # [n] int64
    logprobs: Tensor  # [n] float32
    log_kept: Tensor  # [n] float32
    stop: Stop

    def behind(self, trajectory: Trajectory, decoding: Decoding, model: str, version: int, text: str) -> Trajectory:
        """What `surgery.append` makes of it, in half the time: it is done once for every row that is sampled."""
        last, count = trajectory.rows[-1], len(self.ids)
        start, truncates = len(last), decoding.truncates
        true = _constant(count, True, torch.bool)
        row = Row(
            torch.cat([last.tokens, self.tokens]),
            torch.cat([last.sampled, true]),
            torch.cat([last.trained, true]),
            torch.cat([last.logprobs, self.logprobs]),
            torch.cat([last.versions, _constant(count, version, torch.int32)]),
            model,
            decoding.temperature,
            truncates or (last.truncated and bool(last.sampled.any())),
            last.media,
        )
        tracks = trajectory.tracks
        if tracks or truncates:
            own = {"log_kept": self.log_kept} if truncates else {}
            tracks = surgery.joined_tracks(tracks, tokens_in(trajectory), own, count)
        turn = Turn("policy", text, len(trajectory.rows) - 1, start, start + count)
        rows, turns = (*trajectory.rows[:-1], row), (*trajectory.turns, turn)
        return Trajectory(trajectory.problem, rows, turns, self.stop, trajectory.info, tracks)


@functools.lru_cache(1024)
def _constant(count: int, value: int, dtype: torch.dtype) -> Tensor:
    return torch.full((count,), value, dtype=dtype)


@dataclass(frozen=True)
class _Ask:
    done: asyncio.Future[Sampled]
    row: Row
    way: int
    stops: StopStrings | None
    seed: int
    room: int


def choose_tier(lm: LM, rows: int, memory: int, tier: Tier) -> tuple[Fast | None, str]:
    """The fast tier, or None and a line that says why not. ValueError if "fast" is wished and can not be."""
    if tier not in ("auto", "reference", "fast"):
        raise ValueError(f"engine must be 'auto', 'reference' or 'fast', got {tier!r}")
    if tier == "reference":
        return None, ""
    why = refusal(lm)
    if not why:
        try:
            return Fast(lm, rows, memory), ""
        except CannotBuild as error:
            why = str(error)
    if tier == "fast":
        raise ValueError(f"engine='fast' is not possible: {why}; take engine='auto'")
    return None, f"rollouts are sampled by the reference engine, which is slower: {why}"


def _weights(lm: LM) -> list[Tensor | None]:
    """All weights in the order in which `Model::take` reads them; None where there is none."""
    inner, head = lm.backbone, lm.hf.get_output_embeddings()
    held = [inner.embed_tokens.weight, inner.norm.weight, head.weight, head.bias]
    for layer in inner.layers:
        held += [layer.input_layernorm.weight, layer.post_attention_layernorm.weight]
        held += [getattr(getattr(layer.self_attn, name, None), "weight", None) for name in ("q_norm", "k_norm")]
        for linear in layer_linears(layer):
            held += [linear.weight, linear.bias]
    return [None if weight is None else weight.detach().contiguous() for weight in held]


class Fast:
    """One model's rows in flight: at most `rows` are decoded at once, and up to `memory` bytes of keys and values are
    kept for contexts that go on. CannotBuild where the library can not be had. Threads start with the first row and
    end with the engine."""

    def __init__(self, lm: LM, rows: int, memory: int) -> None:
        self.lm, self.rows, self.memory = lm, rows, memory
        self.lib = _declared(library(_SOURCE))
        self.handle: int | None = None
        self.process = 0
        self.stamp: tuple[int, ...] = ()
        self.flying: dict[int, _Ask] = {}
        self.asked: list[tuple[int, _Ask]] = []  # to be submitted together, when the event loop comes to it
        self.loop: asyncio.AbstractEventLoop | None = None
        self.numbers = itertools.count()

    # ------------------------------------------------------------------------------------------------ for coroutines

    def takes(self, row: Row, decoding: Decoding) -> bool:
        """Whether this row can be decoded here; the reference tier does what is rare."""
        return not (row.media or decoding.processors or decoding.store_mask)

    async def sample(self, row: Row, decoding: Decoding, seed: int, room: int) -> Sampled:
        """Decode `row` until it ends, at the latest after `room` tokens. ValueError if the model has diverged."""
        loop = asyncio.get_running_loop()
        if self.handle is None or self.process != os.getpid():
            self._begin()
        if self.loop is not loop:
            self._leave()
            self.loop = loop
        way, stops = self._way(decoding)
        number, ask = next(self.numbers), _Ask(loop.create_future(), row, way, stops, seed, room)
        if not self.asked:
            loop.call_soon(self._submit)
        self.asked.append((number, ask))
        if len(self.asked) == _SOON:
            self._submit()
        try:
            return await ask.done
        except asyncio.CancelledError:
            self._cancel(number)
            raise

    @property
    def read(self) -> int:
        """Tokens of contexts that were read."""
        return self._count(0)

    @property
    def passes(self) -> int:
        return self._count(1)

    @property
    def in_flight(self) -> int:
        return self._count(2)

    @property
    def held(self) -> int:
        """Bytes of keys and values."""
        return self._count(3)

    def _count(self, what: int) -> int:
        return 0 if self.handle is None else int(self.lib.whet_count(self.handle, what))

    # ----------------------------------------------------------------------------------------------------- beginning

    def _begin(self) -> None:
        """Make the engine; in a process that was forked, anew: threads do not come along."""
        config, heads = self.lm.hf.config, self.lm.backbone.layers[0].self_attn
        half = heads.head_dim // 2
        with torch.no_grad():
            angles = self.lm.backbone.rotary_emb(torch.zeros(1), torch.arange(self.lm.context)[None])
        cos, sin = (a[0, :, :half].float().contiguous() for a in angles)
        shape = _Shape(
            width=config.hidden_size,
            layers=config.num_hidden_layers,
            heads=config.num_attention_heads,
            kv_heads=config.num_key_value_heads,
            head=heads.head_dim,
            inter=config.intermediate_size,
            vocab=self.lm.vocab,
            context=self.lm.context,
            threads=torch.get_num_threads(),
            rows=self.rows,
            eps=config.rms_norm_eps,
            bytes=self.memory,
        )
        self.handle = self.lib.whet_create(ctypes.byref(shape), cos.data_ptr(), sin.data_ptr())
        if self.handle is None:
            raise MemoryError("the fast engine got no memory, or no threads")
        self.process = os.getpid()
        weakref.finalize(self, _end, self.lib, self.handle, self.process)
        self.bell = self.lib.whet_bell(self.handle)
        self.stamp, self.flying, self.asked, self.loop = (), {}, [], None
        self.ways: dict[tuple, tuple[int, StopStrings | None]] = {}
        self.kept: list[np.ndarray] = []  # what the library points to
        room = max(2**14, self.lm.context)
        self.told = np.empty((_MOST, 3), dtype=np.int64)
        self.tokens = np.empty(room, dtype=np.int64)
        self.logprobs, self.log_kept = np.empty((2, room), dtype=np.float32)

    def _way(self, decoding: Decoding) -> tuple[int, StopStrings | None]:
        d = decoding
        kind = d.temperature, d.top_k, d.top_p, d.min_p, tuple(d.stop), tuple(d.stop_tokens)
        if kind not in self.ways:
            eos, stop_tokens = (np.array(ids, dtype=np.int64) for ids in (self.lm.codec.eos, decoding.stop_tokens))
            stops = StopStrings(decoding.stop, self.lm.codec.text) if decoding.stop else None
            asks = np.ones(self.lm.vocab, dtype=np.uint8)  # until a token is seen for the first time
            self.kept.append(asks)
            way = _Way(
                temperature=decoding.temperature,
                top_k=decoding.top_k,
                top_p=decoding.top_p,
                min_p=decoding.min_p,
                eos=eos.ctypes.data,
                stops=stop_tokens.ctypes.data,
                eos_count=len(eos),
                stop_count=len(stop_tokens),
                asks=asks.ctypes.data if stops else None,
                window=stops.window if stops else 0,
            )
            number = int(self.lib.whet_way(self.handle, ctypes.byref(way)))
            if number < 0:
                raise MemoryError("the fast engine got no memory")
            self.ways[kind] = number, stops
        return self.ways[kind]

    def _take_weights(self) -> None:
        if self.flying:
            if self.written != [w._version for w in self.watched]:
                raise RuntimeError("the model's weights were changed while rows were being sampled from it")
            return  # the whole stamp takes longer than a row does
        stamp = self.lm.stamp()
        if stamp == self.stamp:
            return
        self.weights = _weights(self.lm)  # the library reads the embedding where it is
        pointers = (ctypes.c_void_p * len(self.weights))(*(0 if w is None else w.data_ptr() for w in self.weights))
        if self.lib.whet_load(self.handle, pointers):
            raise MemoryError("the fast engine got no memory for the weights")
        self.stamp = stamp
        self.watched = list(self.lm.hf.parameters())
        self.written = [w._version for w in self.watched]

    # ------------------------------------------------------------------------------------------------------ the loop

    def _submit(self) -> None:
        asked, self.asked = [(n, ask) for n, ask in self.asked if not ask.done.done()], []
        if not asked:
            return
        try:
            self._take_weights()
            tokens = np.concatenate([ask.row.tokens.numpy() for _, ask in asked])
            if tokens.min() < 0 or tokens.max() >= self.lm.vocab:
                raise IndexError(f"a row holds a token outside of the vocabulary of {self.lm.vocab}")
            table = np.array(
                [(n, ask.way, len(ask.row), ask.room, ask.seed & (2**64 - 1), ask.seed >> 64) for n, ask in asked],
                dtype=np.uint64,
            )
            if not self.flying:
                assert self.loop is not None
                self.loop.add_reader(self.bell, self._collect)
            self.flying.update(asked)
            if self.lib.whet_submit(self.handle, len(asked), table.ctypes.data, tokens.ctypes.data):
                raise MemoryError("the fast engine got no memory for the rows")
        except Exception as error:  # whoever waits must hear of it, or would wait for ever
            for number, ask in asked:
                self._landed(number)
                if not ask.done.done():
                    ask.done.set_exception(error)

    def _collect(self) -> None:
        """The bell has rung: rows have ended, or ask whether a stop string is complete."""
        os.read(self.bell, 4096)
        told, tokens, logprobs, log_kept = self.told, self.tokens, self.logprobs, self.log_kept
        places = [x.ctypes.data for x in (tokens, logprobs, log_kept)]
        while count := self.lib.whet_collect(self.handle, told.ctypes.data, _MOST, *places, len(tokens)):
            rows = told[:count].tolist()
            total = sum(row[2] for row in rows)
            ids = tokens[:total].tolist()
            arrays = [torch.from_numpy(x[:total].copy()) for x in (tokens, logprobs, log_kept)]
            start = 0
            for number, how, length in rows:
                end = start + length
                if how == _ASKS:
                    self._answer(number, ids[start:end])
                else:
                    self._ended(number, how, ids[start:end], [x[start:end] for x in arrays])
                start = end

    def _ended(self, number: int, how: int, ids: list[int], arrays: list[Tensor]) -> None:
        ask = self._landed(number)
        if ask is None or ask.done.done():
            return
        if how == _DIVERGED:
            ask.done.set_exception(ValueError("the model gave logits that are not numbers; its weights have diverged"))
        elif how == _NO_MEMORY:
            ask.done.set_exception(MemoryError("the fast engine got no memory for keys and values"))
        else:
            ask.done.set_result(Sampled(ids, *arrays, stop=_STOPS[how]))

    def _answer(self, number: int, ids: list[int]) -> None:
        ask = self.flying.get(number)
        if ask is not None and ask.stops is not None:
            self.lib.whet_answer(self.handle, number, ask.stops.complete(ids))
            if not ask.stops.may_end.get(ids[-1], True):
                self.kept[ask.way][ids[-1]] = 0  # it never does

    def _landed(self, number: int) -> _Ask | None:
        ask = self.flying.pop(number, None)
        if ask is not None and not self.flying and self.loop is not None and not self.loop.is_closed():
            self.loop.remove_reader(self.bell)
        return ask

    def _cancel(self, number: int) -> None:
        if self._landed(number) is not None:
            self.lib.whet_cancel(self.handle, number)

    def _leave(self) -> None:
        """Rows that were asked for in an event loop that is gone have nobody waiting."""
        for number in list(self.flying):
            self._cancel(number)
        self.asked = []


def _declared(lib: ctypes.CDLL) -> ctypes.CDLL:
    pointer, integer, long = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64
    for name, result, arguments in (
        ("create", pointer, (pointer, pointer, pointer)),
        ("destroy", None, (pointer,)),
        ("load", integer, (pointer, pointer)),
        ("way", long, (pointer, pointer)),
        ("submit", integer, (pointer, integer, pointer, pointer)),
        ("collect", integer, (pointer, pointer, integer, pointer, pointer, pointer, long)),
        ("answer", None, (pointer, long, integer)),
        ("cancel", None, (pointer, long)),
        ("bell", integer, (pointer,)),
        ("count", long, (pointer, integer)),
        ("uniforms", None, (ctypes.c_uint64, ctypes.c_uint64, integer, pointer)),
    ):
        function = getattr(lib, f"whet_{name}")
        function.restype, function.argtypes = result, arguments
    return lib


def _end(lib: ctypes.CDLL, handle: int, process: int) -> None:
    if process == os.getpid():  # after a fork the threads are the other process's
        lib.whet_destroy(handle)
