"""Token ids as text, by the tokenizer that lies in a run's folder."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

PLACES = ("tokenizer", "model", "best", "models/policy")  # below a run
_BEFORE = 4  # tokens that are decoded with one, for what stands between words


class Words:
    """`pieces(ids)`: a text per token. Without a tokenizer, or for an id that it does not know: "⟨id⟩"."""

    def __init__(self, tokenizer: Any = None) -> None:
        self.tokenizer = tokenizer

    def pieces(self, ids: Sequence[int]) -> list[str]:
        if self.tokenizer is None:
            return [f"⟨{i}⟩" for i in ids]
        return [self._piece(ids, i) for i in range(len(ids))]

    def _piece(self, ids: Sequence[int], i: int) -> str:
        """What token i adds to the text before it; its name in the vocabulary where that is no whole character."""
        raw = self.tokenizer.id_to_token(ids[i]) if 0 <= ids[i] < 2**31 else None
        if raw is None:
            return f"⟨{ids[i]}⟩"
        before = list(ids[max(0, i - _BEFORE) : i])
        start, whole = self._decoded(before), self._decoded([*before, ids[i]])
        piece = whole[len(start) :] if whole.startswith(start) else self._decoded([ids[i]])
        return raw if not piece or "\ufffd" in piece else piece

    def _decoded(self, ids: Sequence[int]) -> str:
        return self.tokenizer.decode([i for i in ids if 0 <= i < 2**31], skip_special_tokens=False)


def words_of(folder: Path) -> Words:
    """The words of a run; of a run that has no tokenizer yet, none."""
    for place in PLACES:
        file = folder / place / "tokenizer.json"
        if file.is_file():
            return _loaded(file, file.stat().st_mtime_ns)
    return Words()


@lru_cache(maxsize=8)
def _loaded(file: Path, changed: int) -> Words:
    from tokenizers import Tokenizer

    try:
        return Words(Tokenizer.from_file(str(file)))
    except Exception:  # the library raises nothing narrower for a file that holds no tokenizer
        return Words()
