"""One integer from on-policy to asynchronous."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def ahead(play: Callable[[int], Awaitable[T]], start: int, steps: int, k: int) -> AsyncIterator[tuple[int, T]]:
    """Yield (step, what was played) for steps `start` .. `steps` - 1, having played exactly up to step + `k` by then.

    The caller learns from what it is given and publishes new weights before it asks for more; so step s is played with
    weights version max(0, s - k). On resume at step s the steps s .. s + k are played again, from weights s - k .. s.
    Steps are played in order and one at a time: what a step sees never depends on timing.
    """
    if k < 0:
        raise ValueError(f"ahead must be 0 (on-policy) or more, got {k}")
    played: deque[T] = deque()
    for step in range(start, steps):
        while len(played) <= min(k, steps - 1 - step):
            played.append(await play(step + len(played)))
        yield step, played.popleft()


def version(step: int, k: int) -> int:
    """The weights version that plays `step`: max(0, step - k)."""
    return max(0, step - k)
