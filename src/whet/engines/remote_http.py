"""Requests to one endpoint: tried again where that may help, each with a deadline, and only so many at a time.

They run in a thread with an event loop of its own, so that a deadline is kept while the process computes, and an
endpoint serves any event loop, or none.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from whet.randomness import generator

T = TypeVar("T")

LARGEST = 16 * 1024**2  # our choice: bytes; an answer with more is not read to its end
LONGEST_WAIT = 30.0  # our choice: seconds between two tries, whatever the endpoint asks for
SECRET = 12  # our choice: a key of fewer characters ("EMPTY") is none, and may stand in an answer


class Failed(Exception):
    """No usable answer, after every try: a failure of ours, not of the attempt that asked. `answered`: the endpoint is
    there and would not."""

    def __init__(self, why: str, answered: bool = False) -> None:
        super().__init__(why)
        self.answered = answered


class Refused(ValueError):
    """Further calls would end in the same way: a wrong key, model or url, the budget, an endpoint that is gone."""


class _Again(Exception):
    """One try failed, and another one may not; `wait`: for how many seconds the endpoint asks."""

    def __init__(self, why: str, wait: float = 0.0) -> None:
        super().__init__(why)
        self.wait = wait


@dataclass
class Meter:
    """What was asked and what it cost. `calls` are all answers wanted, with their tokens; `requests`, `retries` and
    `cost` are what really went to the endpoint: what came from the cache costs nothing."""

    calls: int = 0
    cached: int = 0
    failed: int = 0
    requests: int = 0
    retries: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0


@dataclass
class Http:
    """JSON from `url`. A connection that fails, an answer that is none, 408, 425, 429 and 5xx are tried again up to
    `tries` times in all, after backoff * 2^n seconds times a draw from [0.5, 1.5), or after what Retry-After says.
    """

    url: str
    key: str = field(repr=False)
    deadline: float
    tries: int
    concurrency: int
    backoff: float
    meter: Meter
    gate: Callable[[], None] = lambda: None  # asked before every completion: it raises where none may be sent

    def __post_init__(self) -> None:
        try:
            import httpx2
        except ImportError as error:
            raise ImportError("remote models need httpx2: pip install 'whet[remote]'") from error
        self._httpx = httpx2
        self._client: Any = None
        self._places = asyncio.Semaphore(self.concurrency)

    async def send(self, method: str, path: str, body: Any, read: Callable[[Any], T], seed: int, tries: int = 0) -> T:
        """What `read` makes of the answer; a ValueError of `read` says that the answer is none. Runs in the thread.

        Raises Refused for 401, 403, 404 and redirects, and Failed for other refusals and once all tries are used up.
        """
        where, tries = f"{self.url}/{path}", tries or self.tries
        trouble = _Again("")
        async with self._places:
            for n in range(tries):
                if method == "POST":
                    self.gate()
                    self.meter.requests += 1
                self.meter.retries += n > 0
                try:
                    async with asyncio.timeout(self.deadline):
                        return read(await self._once(method, where, body))
                except TimeoutError:
                    trouble = _Again(f"no whole answer within {self.deadline:g} s")
                except self._httpx.HTTPError as error:
                    trouble = _Again(f"no connection ({self._clean(error)})")
                except ValueError as error:
                    if isinstance(error, Refused):
                        raise
                    trouble = _Again(f"the answer is none: {self._clean(error)}")
                except _Again as error:
                    trouble = error
                if n + 1 < tries:
                    draw = 0.5 + float(generator(seed, "retry", n).random())
                    await asyncio.sleep(min(LONGEST_WAIT, trouble.wait or self.backoff * 2**n * draw))
        raise Failed(f"{where}: {trouble}; tried {tries} {'time' if tries == 1 else 'times'}")

    async def _once(self, method: str, where: str, body: Any) -> Any:
        if self._client is None:
            headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
            here = self._httpx.URL(self.url).host in ("127.0.0.1", "localhost", "::1")  # no proxy leads back to us
            self._client = self._httpx.AsyncClient(headers=headers, timeout=None, trust_env=not here)
        async with self._client.stream(method, where, json=body) as answer:
            data = bytearray()
            async for part in answer.aiter_bytes():
                data += part
                if len(data) > LARGEST:
                    raise ValueError(f"it has more than {LARGEST} bytes")
        text = self._clean(data.decode("utf-8", errors="replace"))
        if answer.status_code != 200:
            self._refuse(where, answer.status_code, answer.headers, text)
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            raise ValueError(f"no JSON but {text[:80]!r}") from None

    def _refuse(self, where: str, status: int, headers: Any, text: str) -> None:
        said = f"{status}: {_message(text)}"
        if status in (408, 425, 429) or status >= 500:
            raise _Again(said, _wait(headers.get("retry-after", "")))
        if status in (401, 403):
            raise Refused(f"{where} wants another key, {said}; check the variable that `key` names")
        if status == 404 or status < 400:
            raise Refused(f"{where} is not there, {said}; check the url (it often ends in /v1) and the model")
        raise Failed(f"{where} refused the request, {said}", answered=True)

    def _clean(self, said: object) -> str:
        """Without the key, which a server may repeat."""
        return str(said).replace(self.key, "***") if len(self.key) >= SECRET else str(said)

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()


def _message(text: str) -> str:
    """What an error's body says, as one short line."""
    with suppress(ValueError, RecursionError):
        told = json.loads(text)
        told = told.get("error", told) if isinstance(told, dict) else told
        text = str(told.get("message", told) if isinstance(told, dict) else told)
    return " ".join(text.split())[:200] or "no word"


def _wait(said: str) -> float:
    """Retry-After in seconds: a number or a date; 0 for neither."""
    with suppress(ValueError):
        seconds = float(said)
        return seconds if 0 < seconds < float("inf") else 0.0
    with suppress(ValueError, TypeError):
        return max(0.0, (parsedate_to_datetime(said) - datetime.now(UTC)).total_seconds())
    return 0.0


# -- the thread -------------------------------------------------------------------------------------------------------

_loop: asyncio.AbstractEventLoop | None = None
_pid = 0
_lock = threading.Lock()


def submit(work: Coroutine[Any, Any, T]) -> Future[T]:
    """Run `work` in the thread. A forked child starts its own."""
    global _loop, _pid
    with _lock:
        if _loop is None or _pid != os.getpid():
            _loop, _pid = asyncio.new_event_loop(), os.getpid()
            threading.Thread(target=_loop.run_forever, name="whet-remote", daemon=True).start()
    return asyncio.run_coroutine_threadsafe(work, _loop)
