"""When everyone waits.

Rollouts are coroutines, and an engine batches whatever waits for it. To make the same batches in every run, it starts
one only when every coroutine waits for an engine, so the make-up of a batch never depends on how fast a verifier was.
Work outside the event loop (a verifier's worker, a tool, another machine) says so with `outside()`.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

_ROUNDS = (
    24  # our choice: how many empty rounds of the event loop mean that nobody can move (nested gathers need 2 each)
)


class _Loop:
    def __init__(self) -> None:
        self.outside = 0
        self.moved = 0
        self.back = asyncio.Event()


_loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Loop] = weakref.WeakKeyDictionary()


def _here() -> _Loop:
    loop = asyncio.get_running_loop()
    here = _loops.get(loop)
    if here is None:
        here = _loops[loop] = _Loop()
    return here


@contextmanager
def outside() -> Iterator[None]:
    """Mark work that the event loop waits for but does not do: engines hold their next batch until it is back."""
    here = _here()
    here.outside += 1
    try:
        yield
    finally:
        here.outside -= 1
        here.moved += 1
        here.back.set()


def moved() -> None:
    """Say that something new happened (a request arrived): `idle` starts counting again."""
    _here().moved += 1


async def idle() -> None:
    """Return once no coroutine can move and nothing is outside."""
    here = _here()
    quiet, seen = 0, here.moved
    while quiet < _ROUNDS:
        if here.outside:
            here.back.clear()
            await here.back.wait()
            quiet = 0
        await asyncio.sleep(0)
        quiet = quiet + 1 if here.moved == seen else 0
        seen = here.moved
