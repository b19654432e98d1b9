"""The engine that is always there: sampling and scoring with plain torch, on a CPU or one GPU, and sampling by the fast
tier where that can play the model."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from whet import idle
from whet.engines.decode import Growing, wave
from whet.engines.fast import Tier, choose_tier
from whet.engines.following import Following
from whet.engines.graphs import Replays, replayable
from whet.engines.reading import Reader
from whet.engines.scores import batches, scores
from whet.models import surgery
from whet.models.lm import LM
from whet.types import Content, Decoding, Problem, Row, Trajectory, Want

_WANT = ("logprobs", "values", "entropy", "hidden")
_ATTENTION = ("full_attention", "sliding_attention")


@dataclass
class _Request:
    done: asyncio.Future
    growing: Growing | None = None  # a row to extend, or
    rows: tuple[Row, ...] = ()  # rows to score
    want: tuple[Want, ...] = ()

    @property
    def order(self) -> tuple:
        """Requests of like length and equal prompts side by side, whoever came first."""
        row = self.rows[0] if self.growing is None else self.growing.row
        return len(row), row.tokens.tolist(), 0 if self.growing is None else self.growing.seed


class Native:
    """A `Policy` on any Hugging Face decoder.

    Calls wait on a list until no coroutine can move, and are then served in one wave, `rows` rows at a time; what
    arrives meanwhile waits for the next. So who shares a batch depends on the recipe alone, not on how long a verifier
    took. A row's answer comes as soon as the row has ended.

    Where the fast tier (`whet.engines.fast`) can play the model, rows are sampled as soon as they are asked for, and
    waves are for scores and for rows that it does not take. On a GPU decode steps are captured as graphs (`replays`)
    where the model allows it. `engine`: "auto", or which tier it has to be; `notice`: a
    line that says why it is not the fast one, where nobody asked for that.

    Keys and values of what was read and written are kept, up to `memory` bytes of them, so that a context that goes on
    from one before is not read again. They are forgotten when `version` is set, be it to what it was, and when the
    weights of `lm` have changed: a run that is resumed at a step does what a run that was not stopped does.

    `name` is written into the rows; so is `version`, which the run sets whenever it puts new weights into `lm`.
    `waves` counts the waves so far, `read` the tokens that the model has read and not written.
    """

    def __init__(
        self,
        lm: LM,
        name: str = "policy",
        rows: int = 256,
        version: int = 0,
        memory: int = 2**30,  # our choice: 1 GiB
        engine: Tier = "auto",
    ) -> None:
        if rows < 1:
            raise ValueError(f"Native.rows must be at least 1, got {rows}")
        kinds = set(getattr(lm.hf.config, "layer_types", None) or ()) - set(_ATTENTION)
        if kinds:
            raise ValueError(f"{type(lm.hf).__name__} has layers of kind {sorted(kinds)}; Native knows {_ATTENTION}")
        self.lm = lm
        self.codec = lm.codec
        self.name = name
        self.rows = rows
        self.reader = Reader(lm, memory)
        self.following = Following(self.reader)
        self.version = version
        self.waves = 0
        self.replays = Replays(lm) if replayable(lm) else None
        self.fast, self.notice = choose_tier(lm, rows, memory, engine)
        self._waiting: list[_Request] = []
        self._pump: asyncio.Task | None = None

    @property
    def version(self) -> int:
        return self._version

    @version.setter
    def version(self, version: int) -> None:
        self._version = version
        self.reader.prefixes.forget()
        self.following.forget()

    @property
    def read(self) -> int:
        return self.reader.tokens + (0 if self.fast is None else self.fast.read)

    # -------------------------------------------------------------------------------------------------- rows

    def open(self, problem: Problem) -> Trajectory:
        """See `Codec.open`."""
        return self.codec.open(problem, self.lm.context, self.name)

    def insert(self, trajectory: Trajectory, content: Content, role: str | None = None) -> Trajectory:
        """See `Codec.insert`. What does not fit into the context is left out, and the trajectory stops by "length"."""
        out = self.codec.insert(trajectory, content, role)
        row, limit = out.rows[-1], self.lm.context
        if len(row) <= limit:
            return out
        limit = min([limit, *(m.start for m in row.media if m.start < limit < m.start + m.length)])
        return replace(self.codec.cut(out, len(out.rows) - 1, limit), stop="length")

    def reopen(self, trajectory: Trajectory, ids: Sequence[int]) -> Trajectory:
        """See `surgery.reopen`. ValueError if `ids` fill the context."""
        if len(ids) >= self.lm.context:
            raise ValueError(f"reopen got {len(ids)} tokens and the context holds {self.lm.context}; keep fewer")
        return self.codec.reopen(trajectory, ids, self.name)

    def cut(self, trajectory: Trajectory, row: int, stop: int) -> Trajectory:
        """See `surgery.cut`."""
        return self.codec.cut(trajectory, row, stop)

    def graft(self, trajectory: Trajectory, opened: Trajectory) -> Trajectory:
        """See `surgery.graft`. ValueError if the row does not fit into the context."""
        out = self.codec.graft(trajectory, opened)
        if len(out.rows[-1]) > self.lm.context:
            raise ValueError(
                f"graft made a row of {len(out.rows[-1])} tokens and the context holds {self.lm.context}; "
                "sample fewer, or graft behind a shorter prompt"
            )
        return out

    # ----------------------------------------------------------------------------------------------- requests

    async def extend(self, trajectory: Trajectory, decoding: Decoding, seed: int) -> Trajectory:
        """Sample at the end of the last row until EOS ("eos"), a stop string or token ("stop"), or until `max_tokens`
        or the context are used up ("length"); the token that ends it stays. A row without room comes back with stop
        "length" and nothing else changed. ValueError if the row's earlier tokens were sampled otherwise."""
        row = trajectory.rows[-1]
        decoding = _agreed(trajectory, decoding, self.name)
        room = min(decoding.max_tokens, self.lm.context - len(row))
        if room < 1:
            return replace(trajectory, stop="length")
        if self.fast is not None and self.fast.takes(row, decoding):
            with idle.outside():  # other engines hold their next wave meanwhile
                sampled = await self.fast.sample(row, decoding, seed, room)
            text = self.codec.text(sampled.ids)
            return sampled.behind(trajectory, decoding, self.name, self.version, text)
        growing: Growing = await self._ask(growing=Growing(row, decoding, seed, room))
        written, tracks = growing.written(self.name, self.version)
        text = self.codec.text(growing.ids)
        return surgery.append(trajectory, written, "policy", text, growing.stop, tracks)

    async def score(self, rows: Sequence[Row], want: Sequence[Want] = ("logprobs",)) -> list[dict[str, Tensor]]:
        """See `scores.scores`. ValueError for an unknown wish, values without a value head, or a row that is longer
        than the context."""
        unknown = [name for name in want if name not in _WANT]
        if unknown:
            raise ValueError(f"score can not give {unknown}; ask for some of {_WANT}")
        if "values" in want and self.lm.value_head is None:
            raise ValueError(f"model {self.name!r} has no value head, so it has no values; add_value_head() first")
        longest = max((len(row) for row in rows), default=0)
        if longest > self.lm.context:
            raise ValueError(f"score got a row of {longest} tokens and the context holds {self.lm.context}")
        return await self._ask(rows=tuple(rows), want=tuple(want)) if rows else []

    def predict(self, contexts: Sequence[Tensor]) -> Tensor:
        """See `types.Predicting`. Whoever asks for contexts that are those of the call before and a token more has only
        these tokens read."""
        return self.following(contexts)

    @property
    def special(self) -> tuple[int, ...]:
        """The ids of the tokenizer's special tokens, EOS among them."""
        return tuple(sorted({*self.codec.tokenizer.all_special_ids, *self.codec.eos}))

    async def _ask(self, **request: Any) -> Any:
        loop = asyncio.get_running_loop()
        if self._pump is None or self._pump.done() or self._pump.get_loop() is not loop:
            self._waiting = []  # those of a loop that is gone have nobody waiting
            self._pump = loop.create_task(self._serve())
        done = loop.create_future()
        self._waiting.append(_Request(done, **request))
        idle.moved()
        return await done

    async def _serve(self) -> None:
        """Serve whatever waits, whenever nobody can move; end when nothing waits."""
        taken: list[_Request] = []
        try:
            while self._waiting:
                await idle.idle()
                taken, self._waiting = self._waiting, []
                taken = sorted((r for r in taken if not r.done.done()), key=lambda r: r.order)
                with idle.outside():  # other engines hold their next wave meanwhile
                    self._score([r for r in taken if r.growing is None])
                    await self._extend([r for r in taken if r.growing is not None])
        except Exception as error:  # whoever waits must hear of it, or would wait for ever
            for request in (*taken, *self._waiting):
                if not request.done.done():
                    request.done.set_exception(error)
            self._waiting = []

    async def _extend(self, requests: list[_Request]) -> None:
        """One wave; whoever finds no place at first gets that of a row that has ended."""
        owner = {id(r.growing): r for r in requests}
        growing = [r.growing for r in requests if r.growing is not None]
        self.waves += bool(growing)
        async for row in wave(self.reader, growing, self.rows, self.replays):
            done = owner[id(row)].done
            if not done.done():
                done.set_result(row)

    def _score(self, requests: list[_Request]) -> None:
        for want in dict.fromkeys(r.want for r in requests):
            asked = [r for r in requests if r.want == want]
            rows = [row for r in asked for row in r.rows]
            said: dict[int, dict[str, Tensor]] = {}
            for batch in batches(rows):
                said.update(zip(batch, scores(self.lm, [rows[i] for i in batch], want), strict=True))
            start = 0
            for request in asked:
                request.done.set_result([said[i] for i in range(start, start + len(request.rows))])
                start += len(request.rows)


def _agreed(trajectory: Trajectory, decoding: Decoding, name: str) -> Decoding:
    """`decoding`, if it may go on with the last row: a row has one sampler and one temperature."""
    row = trajectory.rows[-1]
    pairs = (("model", row.model, name), ("temperature", row.temperature, decoding.temperature))
    for what, was, now in pairs:
        if was != now and row.sampled.any():
            raise ValueError(
                f"the last row of problem {trajectory.problem.id!r} was sampled with {what} {was!r}, not {now!r}: "
                "a row has one; go on in a new row, reopen(trajectory, row.tokens)"
            )
    if "kept" in trajectory.tracks and not decoding.store_mask:
        return replace(decoding, store_mask=True)  # else the stored mask would say of these tokens: nothing was cut off
    if decoding.store_mask and any(r.truncated for r in trajectory.rows) and "kept" not in trajectory.tracks:
        raise ValueError(
            "earlier tokens of this trajectory were cut off without store_mask; set it from the first turn on"
        )
    return decoding
