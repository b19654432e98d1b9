from __future__ import annotations

import asyncio
import time

import pytest

from whet.tools.called import Called
from whet.tools.functions import Functions


def add(a: int, b: int) -> int:
    """Adds.

    Args:
        a: The first.
        b: The second.
    """
    return a + b


def wait(seconds: float) -> str:
    """Waits.

    Args:
        seconds: How long.
    """
    time.sleep(seconds)
    return "waited"


FUNCTIONS = Functions((add, wait))


def call(name: str, **arguments: object) -> str:
    inside = ", ".join(f'"{key}": {value}' for key, value in arguments.items())
    return f'<tool_call>{{"name": "{name}", "arguments": {{{inside}}}}}</tool_call>'


def told(*texts: str, **settings: float) -> list[str | None]:
    async def everything() -> list[str | None]:
        session = Called(FUNCTIONS, **settings).session()  # type: ignore[arg-type]
        return [await session(text) for text in texts]

    return asyncio.run(everything())


def test_results_come_in_the_order_of_the_calls() -> None:
    assert told(call("wait", seconds=0.2) + call("add", a=1, b=2)) == ["waited\n3"]
    assert told("no call", call("add", a=2, b=2), "") == [None, "4", None]


def test_what_can_not_be_read_or_done_comes_back_as_an_error() -> None:
    for text in ("<tool_call>{</tool_call>", call("sub", a=1), call("add", a=1), call("add", a='"x"', b=1)):
        (said,) = told(text)
        assert said is not None and said.startswith("error: ")


def test_a_call_has_a_deadline_and_calls_run_side_by_side() -> None:
    started = time.monotonic()
    assert told(call("wait", seconds=30), deadline=0.3) == ["error: no result within 0.3 s"]
    assert told(call("wait", seconds=0.5) * 8) == ["\n".join(["waited"] * 8)]
    assert time.monotonic() - started < 3


def test_an_attempt_has_a_limit_of_calls() -> None:
    one = call("add", a=1, b=1)
    assert told(one * 2, one * 2, one, most=3) == [
        "2\n2",
        "2\nerror: no more than 3 calls are answered",
        "error: no more than 3 calls are answered",
    ]
    for wrong in ({"most": 0}, {"deadline": 0}):
        with pytest.raises(ValueError, match=r"Called\."):
            Called(FUNCTIONS, **wrong)  # type: ignore[arg-type]
