"""Functions that a policy calls by tool calls in its text."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass

from whet.schedule import Count, Number
from whet.verifiers.calls import Call, Malformed, Style, parse

Tool = Callable[[Call | Malformed], str]  # `tools.functions.Functions`, `tools.mcp.Server`


@dataclass(frozen=True)
class Called:
    """One session per attempt: text -> the results of the calls in it, one per line in their order, or None where it
    has none. A call that can not be read gives an error as its result, like one that fails.

    `style`: how calls are written, see `verifiers.calls.parse`. Calls of one text run side by side, each in a thread
    for at most `deadline` seconds; then its result is an error, and the thread is left to itself, as Python can not end
    it: a function that may hang for ever belongs in a process of its own. At most `most` calls are answered in an
    attempt; later ones give an error.

    Raises ValueError unless there is at least one call and more than 0 seconds for it.
    """

    functions: Tool
    style: Style = "auto"
    deadline: Number = 5.0  # our choice
    most: Count = 16  # our choice

    def __post_init__(self) -> None:
        for field in ("deadline", "most"):
            value = getattr(self, field)
            if isinstance(value, int | float) and not value > 0:
                raise ValueError(f"Called.{field} must be more than 0, got {value}")

    def session(self) -> Callable[[str], Awaitable[str | None]]:
        left = int(self.most)

        async def answer(said: str) -> str | None:
            nonlocal left
            parsed = parse(said, self.style)
            asked = [*parsed.calls, *parsed.malformed]
            if not asked:
                return None
            few, left = asked[:left], left - len(asked[:left])
            results = await asyncio.gather(*(self._result(call) for call in few))
            more = [f"error: no more than {int(self.most)} calls are answered"] * (len(asked) > len(few))
            return "\n".join([*results, *more])

        return answer

    async def _result(self, call: Call | Malformed) -> str:
        result: Future[str] = Future()
        threading.Thread(target=_run, args=(self.functions, call, result), daemon=True).start()
        try:
            return await asyncio.wait_for(asyncio.wrap_future(result), float(self.deadline))
        except TimeoutError:
            return f"error: no result within {float(self.deadline):g} s"


def _run(functions: Tool, call: Call | Malformed, result: Future[str]) -> None:
    if not result.set_running_or_notify_cancel():
        return
    try:
        result.set_result(functions(call))
    except BaseException as error:  # told to whoever waits
        result.set_exception(error)
