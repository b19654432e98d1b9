"""What a verifier raises when the fault is ours and not the answer's."""

from __future__ import annotations


class BadGold(ValueError):
    """The reference answer can not be read. Nobody can be judged against it: the verdict is "failed" (NaN), not 0."""
