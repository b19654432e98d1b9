"""The code that an attempt had run, and how that went."""

from __future__ import annotations

import re
from dataclasses import dataclass

from whet.sandbox.limits import OUTCOMES
from whet.types import Trajectory

_RAISED = re.compile(r"[\w.]*(?:Error|Exception|Interrupt|Exit|StopIteration)\b")
_TAG = re.compile(r"</?[a-z]+>")


@dataclass(frozen=True)
class Snippet:
    """`said`: what came back; `failed`: that was an error; `until`: the attempt's tokens that the policy had written
    when it called."""

    said: str
    failed: bool
    until: int


def snippets(trajectory: Trajectory) -> list[Snippet]:
    """Every call of an attempt that was answered, in order: a turn of the policy's with another's behind it. The call
    that exceeds `Interact.turns` has no answer and is not among them."""
    found, written = [], 0
    for turn, after in zip(trajectory.turns, [*trajectory.turns[1:], None], strict=True):
        if turn.role == "policy":
            written += turn.stop - turn.start
            if after is not None and after.role not in ("policy", "prompt"):
                found.append(Snippet(after.text, failed(after.text), written))
    return found


def failed(said: str) -> bool:
    """Whether an interpreter's words tell of an error: their last line names an exception, or an outcome of the sandbox
    such as "timed out". Code that prints such a line without failing is taken for an error."""
    lines = _TAG.sub("", said).strip().splitlines()
    return bool(lines) and (lines[-1] in OUTCOMES[1:] or bool(_RAISED.match(lines[-1])))
