"""Keys and values of contexts that were read or written, found again by their longest common prefix."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from whet.engines.cache import Part, cropped
from whet.models.lm import LM
from whet.types import Media, Row

_MEDIUM = 1 << 20  # our choice: more places than any medium has


@dataclass(eq=False)
class Piece:
    """A stretch of tokens that is kept once, however many contexts go through it."""

    key: np.ndarray  # [t] int64
    part: Part  # their keys and values
    before: Piece | None = None
    after: dict[int, Piece] = field(default_factory=dict)  # by the first number of its key
    used: int = 0  # the newest call that went through here

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(tensor.nbytes for tensor in self.part)


class Prefixes:
    """A tree of what a model has read and written, at most `room` bytes of it.

    What was used longest ago goes first, from the ends of the tree inwards. Everything goes when the model's weights
    may have changed (`LM.stamp`), and on `forget`. The tree depends on the order of the calls and on nothing else, so
    with calls in a settled order runs stay equal to the bit.
    """

    def __init__(self, room: int) -> None:
        if room < 0:
            raise ValueError(f"the memory for prefixes must be 0 bytes or more, got {room}")
        self.room = room
        self.stamp: tuple[int, ...] = ()
        self.forget()

    def forget(self) -> None:
        """Keep nothing."""
        self.root = Piece(np.empty(0, np.int64), ())
        self.size = 0  # bytes, also of what waits
        self.calls = 0
        self.media: dict[tuple, tuple[int, Media]] = {}
        self.waiting: list[tuple[np.ndarray, int, Part]] = []

    def check(self, lm: LM) -> None:
        """Forget what was computed from other weights."""
        stamp = lm.stamp()
        if stamp != self.stamp:
            self.forget()
            self.stamp = stamp

    def key(self, row: Row) -> np.ndarray:
        """[T] int64, equal where keys and values are: tokens, and a number of its own for each place in a medium.

        Media are the same if their values are the same tensor, unchanged; it is held, so that no other can take its
        place in memory.
        """
        key = row.tokens.numpy()
        if row.media:
            key = key.copy()
            for m in row.media:
                same = (m.kind, id(m.values), m.values._version, m.length)
                number, _ = self.media.setdefault(same, (len(self.media) + 1, m))
                key[m.start : m.start + m.length] = -number * _MEDIUM + np.arange(m.length)
        return key

    def find(self, key: np.ndarray) -> tuple[int, list[Part]]:
        """How many tokens of the beginning of `key` are known, and their keys and values in order."""
        self._settle()
        known, path = self._walk(key)
        parts, left = [], known
        for piece in path:
            count = min(left, len(piece.key))
            parts.append(piece.part if count == len(piece.key) else cropped(piece.part, 0, count))
            left -= count
        return known, parts

    def put(self, key: np.ndarray, start: int, part: Part) -> None:
        """Keep `part`, the keys and values of the tokens of `key` from `start` on. It is taken into the tree when the
        tree is next asked; nothing comes of it if what is before `start` has gone by then."""
        self.waiting.append((key, start, part))
        self.size += sum(tensor.nbytes for tensor in part)
        if self.size > self.room:
            self._settle()
            self._shed()

    def _walk(self, key: np.ndarray) -> tuple[int, list[Piece]]:
        """How far `key` goes along the tree, and the pieces on the way; the last may be left amid it."""
        self.calls += 1
        known, path, here = 0, [], self.root
        while known < len(key):
            following = here.after.get(int(key[known]))
            if following is None:
                break
            following.used = self.calls
            path.append(following)
            common = _common(following.key, key[known:])
            known += common
            if common < len(following.key):
                break
            here = following
        return known, path

    def _settle(self) -> None:
        """Take into the tree what waits."""
        waiting, self.waiting = self.waiting, []
        for key, start, part in waiting:
            self.size -= sum(tensor.nbytes for tensor in part)
            known, path = self._walk(key)
            if start <= known < len(key):
                new = part if known == start else cropped(part, known - start, len(key) - start, copy=True)
                self._add(key, known, path, new)

    def _add(self, key: np.ndarray, known: int, path: list[Piece], part: Part) -> None:
        """`part` behind the first `known` tokens, which `path` holds."""
        before = path[-1] if path else self.root
        over = sum(len(piece.key) for piece in path) - known
        if over:
            before = self._split(before, len(before.key) - over)
        new = Piece(key[known:], part, before, used=self.calls)
        before.after[int(key[known])] = new
        self.size += new.size

    def _split(self, piece: Piece, at: int) -> Piece:
        """Make two of a piece; the first of them. They are copies, so that one can go without the other."""
        assert piece.before is not None
        first = Piece(piece.key[:at], cropped(piece.part, 0, at, copy=True), piece.before, used=piece.used)
        first.before.after[int(first.key[0])] = first  # pyright: ignore[reportOptionalMemberAccess]
        piece.part, piece.key = cropped(piece.part, at, len(piece.key), copy=True), piece.key[at:]
        piece.before = first
        first.after[int(piece.key[0])] = piece
        return first

    def _shed(self) -> None:
        """Let go of ends of the tree until the rest has room."""
        while self.size > self.room:
            for end in sorted(self._ends(), key=lambda piece: piece.used):
                assert end.before is not None
                del end.before.after[int(end.key[0])]
                self.size -= end.size
                if self.size <= self.room:
                    break

    def _ends(self) -> list[Piece]:
        ends, open_ = [], list(self.root.after.values())
        while open_:
            piece = open_.pop()
            open_ += piece.after.values()
            if not piece.after:
                ends.append(piece)
        return ends


def _common(a: np.ndarray, b: np.ndarray) -> int:
    """How many entries the beginnings of `a` and `b` share."""
    count = min(len(a), len(b))
    differ = a[:count] != b[:count]
    first = int(differ.argmax())
    return first if differ[first] else count
