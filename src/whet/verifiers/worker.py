"""The child process in which verifiers and users' functions run: `python -m whet.verifiers.worker PARENT MEMORY`,
MEMORY in bytes of address space or 0.

It reads one JSON object per line from its standard input and writes one per line to its standard output: data only,
never pickle. Both are moved out of reach first, so a verifier that prints or reads disturbs nothing.

    {"check": verifier, "options": {...}, "pairs": [[answer, gold], ...]}   -> {"ready": true}, then one verdict a pair
    {"call": "file.py:function", "arguments": {...}}                        -> {"ready": true}, then {"values": [...]}
    {"failed": why} in place of any answer: the fault is ours or the user's code's, not the answer's.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import signal
import sys
import time
import traceback
from typing import Any, BinaryIO

from whet.verifiers import find
from whet.verifiers.gold import BadGold

WORDS = ("right", "wrong", "unparseable", "timed out")  # the last from a verifier with a limit of its own


def main() -> None:
    parent, memory = int(sys.argv[1]), int(sys.argv[2])
    die_with(parent)
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    if memory:
        import resource

        with contextlib.suppress(OSError, ValueError):  # a stricter limit is already set
            resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    say(replies, {"hello": os.getpid()})
    for line in requests:
        request = json.loads(line)
        if "check" in request:
            check(replies, request["check"], request["options"], request["pairs"])
        else:
            call(replies, request["call"], request["arguments"])


def die_with(parent: int) -> None:
    """End when the parent does, even while stuck: the kernel's word on Linux, a look every second elsewhere."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    else:
        import threading

        def watch() -> None:
            while os.getppid() == parent:
                time.sleep(1)
            os._exit(1)

        threading.Thread(target=watch, daemon=True).start()
    if os.getppid() != parent:  # it ended before we asked
        os._exit(1)


def say(replies: BinaryIO, message: dict[str, Any]) -> None:
    replies.write(json.dumps(message).encode() + b"\n")
    replies.flush()


def check(replies: BinaryIO, name: str, options: dict[str, Any], pairs: list[list[str]]) -> None:
    """A verdict for each pair, in order, each as soon as it is there."""
    try:
        verify = find.function(name)
        inspect.signature(verify).bind("", "", **options)
        prepare = getattr(find.module(name), "prepare", None)
        if prepare is not None:
            prepare([gold for _, gold in pairs])
    except (Exception, SystemExit) as error:
        return say(replies, {"failed": f"verifier {name!r}: {in_words(error)}"})
    say(replies, {"ready": True})
    for answer, gold in pairs:
        start = time.perf_counter()
        verdict = judge(verify, answer, gold, options)
        say(replies, {**verdict, "seconds": time.perf_counter() - start})


def judge(verify: Any, answer: str, gold: str, options: dict[str, Any]) -> dict[str, Any]:
    """{outcome, detail} and, from a verifier that grades, `value`; `spent` says that this process should not be used
    again."""
    try:
        returned = verify(answer, gold, **options)
    except (BadGold, ImportError) as error:
        return {"outcome": "failed", "detail": in_words(error)}
    except MemoryError as error:
        return {"outcome": "crashed", "detail": in_words(error), "spent": True}
    except (Exception, SystemExit) as error:
        return {"outcome": "crashed", "detail": in_words(error)}
    outcome, *graded = returned if isinstance(returned, tuple) else (returned,)
    values = [number(value) for value in graded]
    if outcome not in WORDS or len(graded) > 1 or any(not isinstance(value, float) for value in values):
        return {
            "outcome": "failed",
            "detail": f"a verifier must return one of {WORDS}, or that and a number, got {str(returned)[:80]!r}",
        }
    return {"outcome": outcome, "detail": "", **({"value": values[0]} if values else {})}


def in_words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:500]


def call(replies: BinaryIO, path: str, arguments: dict[str, Any]) -> None:
    """What a user's function returns, as numbers: null where it has no verdict."""
    try:
        function = find.load(path)[1]
        taken = accepted(function, arguments)
    except (Exception, SystemExit) as error:
        return say(replies, {"failed": _last_lines(error)})
    say(replies, {"ready": True})
    try:
        returned = function(**taken)
        if inspect.iscoroutine(returned):
            import asyncio

            returned = asyncio.run(returned)
        say(replies, {"values": [number(value) for value in listed(returned)]})
    except (Exception, SystemExit) as error:
        say(replies, {"failed": _last_lines(error)})


def accepted(function: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments that `function` takes, by name; all of them if it has **columns.

    ValueError when it wants one that is not there."""
    parameters = inspect.signature(function).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        taken = arguments
    else:
        taken = {p.name: arguments[p.name] for p in parameters if p.name in arguments}
    wanted = [p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    missing = [name for name in wanted if name not in taken]
    if missing:
        raise ValueError(
            f"the function wants {', '.join(missing)}, but there is only {', '.join(arguments)}; "
            "rename its parameters or add the column to the data"
        )
    return taken


def listed(returned: Any) -> list[Any]:
    """Lists, tuples, arrays and tensors as a list. ValueError for anything else."""
    if hasattr(returned, "tolist"):
        returned = returned.tolist()
    if not isinstance(returned, (list, tuple)):
        raise ValueError(f"a reward must return a list of numbers, one per completion, got {_shown(returned)}")
    return list(returned)


def number(value: Any) -> Any:
    """A number as a float, None and NaN as None; anything else as {"not": what}, for the parent to report."""
    if hasattr(value, "item"):
        with contextlib.suppress(Exception):
            value = value.item()
    if value is None or (isinstance(value, float) and value != value):
        return None
    if isinstance(value, (bool, int, float)) and abs(value) <= sys.float_info.max:
        return float(value)
    return {"not": _shown(value)}


def _shown(value: Any) -> str:
    return f"{type(value).__name__} {str(value)[:80]!r}"


def _last_lines(error: BaseException) -> str:
    """The end of a traceback: what a user needs to find the fault in their own file."""
    ours = (__file__, find.__file__)
    frames = [
        f for f in traceback.extract_tb(error.__traceback__) if f.filename not in ours and "<frozen" not in f.filename
    ]
    where = [f"{frame.filename}:{frame.lineno} in {frame.name}: {frame.line}" for frame in frames[-3:]]
    return "\n".join([*where, *(line.rstrip() for line in traceback.format_exception_only(error))])[-1500:]


if __name__ == "__main__":
    main()
