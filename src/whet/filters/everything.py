"""No filter."""

from __future__ import annotations

from whet.types import Scored


def everything(scored_P: list[Scored]) -> list[Scored]:
    """Every group, in order."""
    return list(scored_P)
