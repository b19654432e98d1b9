"""Seeing a stop string as soon as it is written, across tokens and amid characters that are not whole yet."""

from __future__ import annotations

from collections.abc import Callable, Sequence

_BROKEN = "\ufffd"  # what the bytes of half a character are decoded to


class StopStrings:
    """Is a stop string complete with the newest token?

    A byte-level token holds at least one byte, so a string of n bytes lies in the last n tokens; a few more are read
    along with them (our choice: 4) because a window may begin amid a character, or with a token whose leading space
    some decoders drop. Reading is skipped for a token whose own text can not be the end of a string.
    """

    def __init__(self, strings: Sequence[str], read: Callable[[Sequence[int]], str]) -> None:
        if "" in strings:
            raise ValueError("Decoding.stop holds an empty string; leave it out")
        self.strings = tuple(strings)
        self.read = read
        self.window = max((len(s.encode()) for s in strings), default=0) + 4
        self.ends = {s[-1] for s in strings}
        self.may_end: dict[int, bool] = {}

    def complete(self, ids: Sequence[int]) -> bool:
        """`ids`: the tokens sampled in this turn so far."""
        if not self.strings or not self._may_end(ids[-1]):
            return False
        text = self.read(ids[-self.window :])
        return any(s in text for s in self.strings)

    def _may_end(self, token: int) -> bool:
        if token not in self.may_end:
            text = self.read([token])
            spaced = any(end.isspace() for end in self.ends)
            self.may_end[token] = spaced or _BROKEN in text or any(end in text for end in self.ends)
        return self.may_end[token]
