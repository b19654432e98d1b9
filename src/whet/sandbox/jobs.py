"""One job after another, whoever runs its programs: what a warden of any kind reads and answers, as lines of JSON.

    {"files": {name: text}, "build": [...] or null, "artifact": name, "argv": [...], "stdins": [text, ...],
     "limits": {...}, "build_limits": {...}}
 -> {"built": result or null, "results": [result, ...]}   or {"failed": why}, which is the sandbox's own fault

`build` leaves the file `artifact` in its folder; every run gets it anew, beside `files`. After a run that timed out the
others are not tried: they end as it did.
"""

from __future__ import annotations

import json
import os
import select
import signal
import time
from collections.abc import Callable, Mapping
from typing import Any

from whet.sandbox.limits import MIB, Limits, Result
from whet.verifiers.worker import say

ARTIFACT = 64 * MIB  # our choice: bytes of what a build may leave
_STARVED = ("MemoryError", "bad_alloc", "annot allocate", "ut of memory", "ut_of_memory")  # last words of programs

Files = Mapping[str, tuple[bytes, bool]]  # {name: (its bytes, may it be executed?)}
Run = Callable[[list[str], Files, bytes, Limits, int], tuple[Result, bytes]]
"""(command line, files, stdin, limits, bytes of stdout) -> (what came of it, its stdout)"""


def serve(run: Run) -> None:
    """Answer requests until there are no more."""
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    say(replies, {"hello": os.getpid()})
    for line in requests:
        try:
            say(replies, work(json.loads(line), run))
        except OSError as error:
            say(replies, {"failed": str(error)})


def work(job: Mapping[str, Any], run: Run) -> dict[str, Any]:
    limits = Limits(**job["limits"])
    files = {name: (_bytes(text), False) for name, text in job["files"].items()}
    built = None
    if job["build"]:
        built, left = _build(job, files, run)
        if built.outcome != "ok":
            return {"built": built, "results": []}
        files[job["artifact"]] = left, True
    results: list[Result] = []
    for text in job["stdins"]:
        if results and results[-1].outcome == "timed out":
            results.append(Result("timed out", detail="not run, as the one before timed out"))
        else:
            results.append(run(job["argv"], files, _bytes(text), limits, limits.output)[0])
    return {"built": built, "results": results}


def _build(job: Mapping[str, Any], files: Files, run: Run) -> tuple[Result, bytes]:
    """Run a compiler, and bring out the one file that it is for. What it says is in the result's stderr."""
    script = 'name=$1; shift; "$@" 1>&2 && cat "$name"'
    shell = ["/bin/sh", "-c", script, "build", job["artifact"], *job["build"]]
    result, left = run(shell, files, b"", Limits(**job["build_limits"]), ARTIFACT)
    return result._replace(stdout=""), left


class Exchange:
    """Feeds a program and listens to it. The pipes are ours to close: `close`."""

    def __init__(self, stdin: int, stdout: int, stderr: int) -> None:
        self.stdin, self.stdout, self.stderr = stdin, stdout, stderr
        self.said = (bytearray(), bytearray())

    def hold(
        self,
        text: bytes,
        until: float,
        most: tuple[int, int],
        told: Mapping[int, Callable[[bytes], None]] | None = None,
        look: Callable[[], str] | None = None,
        tick: float = 3600.0,
    ) -> str:
        """Until all it writes to is closed: "", or why it must be ended: "timed out" at the monotonic time `until`,
        "output too long" beyond `most` bytes of stdout and stderr, or what `look` says, every `tick` seconds. `told`:
        {a further descriptor: what to do with its bytes}."""
        poll = select.poll()
        heard = {self.stdout: (self.said[0], most[0]), self.stderr: (self.said[1], most[1])}
        told = told or {}
        for handle in (*heard, *told):
            poll.register(handle, select.POLLIN)
        os.set_blocking(self.stdin, False)
        poll.register(self.stdin, select.POLLOUT)
        open_ = {*heard, *told}
        left = memoryview(text)
        while open_:
            wait = until - time.monotonic()
            if wait <= 0:
                return "timed out"
            if look is not None and (why := look()):
                return why
            for handle, _ in poll.poll(1000 * min(wait, tick) + 1):
                if handle == self.stdin:
                    left = self._feed(left)
                    if not left:
                        poll.unregister(handle)
                        os.close(handle)
                        self.stdin = -1
                    continue
                data = os.read(handle, 65536)
                if not data:
                    poll.unregister(handle)
                    open_.discard(handle)
                elif handle in told:
                    told[handle](data)
                else:
                    into, room = heard[handle][0], heard[handle][1] - len(heard[handle][0])
                    into += data[:room]
                    if len(data) > room:
                        return "output too long"
        return ""

    def _feed(self, left: memoryview) -> memoryview:
        """What is left of the input after as much as it takes now; nothing if it takes none any more."""
        try:
            return left[os.write(self.stdin, left[:65536]) :] if left else left
        except BlockingIOError:
            return left
        except BrokenPipeError:
            return left[:0]

    def close(self) -> None:
        for handle in (self.stdin, self.stdout, self.stderr):
            if handle >= 0:
                os.close(handle)

    def texts(self) -> tuple[str, str]:
        """stdout and stderr."""
        out, err = (data.decode("utf-8", "replace") for data in self.said)
        return out, err


def ended(code: int, stderr: str) -> tuple[str, int | None, str]:
    """(outcome, exit code, detail) of a program that ended by itself, with an exit code as a shell has it: 128 and the
    number of a signal, where it died of one."""
    if code == 0:
        return "ok", 0, ""
    if code == 128 + signal.SIGXCPU:
        return "timed out", None, "the CPU time was over"
    if any(word in stderr[-2000:] for word in _STARVED):
        return "out of memory", code, ""
    if code > 128 and code - 128 in {int(known) for known in signal.Signals}:
        return "killed", None, signal.Signals(code - 128).name
    return "error", code, ""


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")
