"""Calls to an endpoint by their content: each is paid once, kept on the disk, and metered."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from whet.engines.remote_http import Failed, Http, Meter, Refused, submit
from whet.engines.remote_said import usage
from whet.files import read_json, write_json
from whet.idle import outside

T = TypeVar("T")
Check = Callable[[Any], T]


class Calls:
    """Answers to bodies. `folder`: where they are kept, None keeps none. `prices`: of a token in and out; no request
    is sent once `budget` is spent (0: no limit), so it is exceeded by at most what is on its way by then. After
    `patience` failed calls in a row the endpoint is given up.
    """

    def __init__(
        self, http: Http, folder: Path | None, prices: tuple[float, float], budget: float, currency: str, patience: int
    ) -> None:
        self.http, self.folder, self.prices, self.patience = http, folder, prices, patience
        self.budget, self.currency = budget, currency
        http.gate = self._within_budget
        self._going: dict[str, asyncio.Task[Any]] = {}
        self._bad = 0  # failed calls since the last good one

    @property
    def meter(self) -> Meter:
        return self.http.meter

    async def __call__(self, path: str, body: Mapping[str, Any], read: Check[T]) -> T:
        """What `read` makes of the answer. Engines wait meanwhile, so nothing depends on how fast it came."""
        with outside():
            return await asyncio.wrap_future(submit(self._call(path, body, read)))

    def now(self, method: str, path: str, body: Any, read: Check[T]) -> T:
        """One request, waited for here and tried twice at most: not kept, and in nobody's budget."""
        return submit(self.http.send(method, path, body, read, 0, min(2, self.http.tries))).result()

    def close(self) -> None:
        """Give up what is on its way."""
        submit(self._close()).result()

    async def _call(self, path: str, body: Mapping[str, Any], read: Check[T]) -> T:
        text = json.dumps([self.http.url, path, body], sort_keys=True)
        key = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
        self.meter.calls += 1
        answer = self._kept(key, read)
        if answer is not None or (key in self._going and self.folder is not None):
            self.meter.cached += 1
        try:
            if answer is None:
                if key not in self._going or self.folder is None:
                    task = asyncio.create_task(self._ask(key, path, body, read))
                    self._going[key] = task
                    task.add_done_callback(lambda done: self._done(key, done))
                answer = await asyncio.shield(self._going[key])  # one who stops waiting takes it from nobody
        except Failed:
            self.meter.failed += 1
            raise
        told, tokens = read(answer), usage(answer)
        self.meter.prompt_tokens += tokens[0]
        self.meter.completion_tokens += tokens[1]
        return told

    async def _ask(self, key: str, path: str, body: Mapping[str, Any], read: Check[Any]) -> Any:
        def checked(answer: Any) -> Any:
            read(answer)
            return answer

        try:
            answer = await self.http.send("POST", path, body, checked, int(key[:15], 16))
        except Failed as error:
            self._bad += 1
            if self._bad >= self.patience:
                raise Refused(f"{self._bad} calls in a row failed; the last: {error}") from None
            raise
        self._bad = 0
        tokens = usage(answer)
        self.meter.cost += tokens[0] * self.prices[0] + tokens[1] * self.prices[1]
        if self.folder is not None:
            write_json(self._file(key), answer)
        return answer

    def _within_budget(self) -> None:
        if self.budget and self.meter.cost >= self.budget:
            raise Refused(
                f"{self.http.url} has cost {self.meter.cost:.6g} {self.currency}, and the budget is {self.budget:g}; "
                "raise the budget, or ask for less"
            )

    def _done(self, key: str, task: asyncio.Task[Any]) -> None:
        if self._going.get(key) is task:
            del self._going[key]
        if not task.cancelled():
            task.exception()  # whoever still waits has it

    def _kept(self, key: str, read: Check[Any]) -> Any:
        """The answer on the disk; None if there is none that can be read."""
        if self.folder is None:
            return None
        try:
            answer = read_json(self._file(key))
            read(answer)
        except (OSError, ValueError):
            return None
        return answer

    def _file(self, key: str) -> Path:
        assert self.folder is not None
        return self.folder / key[:2] / f"{key}.json"

    async def _close(self) -> None:
        for task in self._going.values():
            task.cancel()
        await self.http.close()
