"""The process that starts what runs in the sandbox, watches and ends it: `python -m whet.sandbox.warden PARENT`.

It is small, so that forking it is quick, and reads one JSON object per line from its standard input:

    {"files": {name: text}, "build": [...] or null, "artifact": name, "argv": [...], "stdins": [text, ...],
     "limits": {...}, "build_limits": {...}}
 -> {"built": result or null, "results": [result, ...]}   or {"failed": why}, which is the sandbox's own fault

`build` leaves the file `artifact` in its folder; every run gets it anew, beside `files`. After a run that timed out the
others are not tried: they end as it did.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import math
import os
import resource
import select
import signal
import sys
import time
from typing import Any

from whet.sandbox.bubblewrap import command, user
from whet.sandbox.cgroups import Group, spare
from whet.sandbox.limits import MIB, Limits, Result, SandboxError
from whet.sandbox.seccomp import program
from whet.verifiers.worker import die_with, say

ARTIFACT = 64 * MIB  # our choice: bytes of what a build may leave
_GRACE = 1.0  # our choice: seconds in which bubblewrap must end when all it started has
_TICK = 0.02  # our choice: seconds between two looks at memory where the kernel does not count it
_STARVED = ("MemoryError", "bad_alloc", "annot allocate", "ut of memory", "ut_of_memory")  # last words of programs


def main() -> None:
    die_with(int(sys.argv[1]))
    ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER: be the parent of all orphans below
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    warden = Warden()
    say(replies, {"hello": os.getpid()})
    for line in requests:
        try:
            say(replies, warden.work(json.loads(line)))
        except OSError as error:
            say(replies, {"failed": str(error)})
    warden.close()


class Warden:
    """One place in which one program at a time runs."""

    def __init__(self) -> None:
        try:
            self.group: Group | None = Group()
        except OSError:
            self.group = None
        self._check()

    def _check(self) -> None:
        """Nothing is run where a limit of processes has no effect, as it has none for root."""
        many = "for i in 1 2 3 4 5 6 7 8 9; do sleep 0.1 & done; wait"
        result = self.run(["/bin/sh", "-c", many], {}, b"", Limits(processes=3))
        if result.outcome != "error" or "fork" not in result.stderr:
            told = result.stderr.strip()[-300:] or "it does not hold"
            raise SandboxError(f"processes of the sandbox cannot be limited on this machine: {told}")

    def close(self) -> None:
        if self.group is not None:
            self.group.remove()

    def work(self, job: dict[str, Any]) -> dict[str, Any]:
        limits = Limits(**job["limits"])
        files = {name: (_file(_bytes(text)), False) for name, text in job["files"].items()}
        try:
            built = None
            if job["build"]:
                built, left = self.build(job["build"], job["artifact"], files, Limits(**job["build_limits"]))
                if built.outcome != "ok":
                    return {"built": built, "results": []}
                files[job["artifact"]] = (_file(left), True)
            results: list[Result] = []
            for text in job["stdins"]:
                if results and results[-1].outcome == "timed out":
                    results.append(Result("timed out", detail="not run, as the one before timed out"))
                else:
                    results.append(self.run(job["argv"], files, _bytes(text), limits))
            return {"built": built, "results": results}
        finally:
            for handle, _ in files.values():
                os.close(handle)

    def build(
        self, argv: list[str], artifact: str, files: dict[str, tuple[int, bool]], limits: Limits
    ) -> tuple[Result, bytes]:
        """Run a compiler, and bring out the one file that it is for. What it says is in the result's stderr."""
        script = 'name=$1; shift; "$@" 1>&2 && cat "$name"'
        shell = ["/bin/sh", "-c", script, "build", artifact, *argv]
        result, left = self._run(shell, files, b"", limits, ARTIFACT)
        return result._replace(stdout=""), left

    def run(self, argv: list[str], files: dict[str, tuple[int, bool]], stdin: bytes, limits: Limits) -> Result:
        return self._run(argv, files, stdin, limits, limits.output)[0]

    def _run(
        self, argv: list[str], files: dict[str, tuple[int, bool]], stdin: bytes, limits: Limits, most: int
    ) -> tuple[Result, bytes]:
        started = time.monotonic()
        held = sum(os.lseek(handle, 0, os.SEEK_END) for handle, _ in files.values())
        for handle, _ in files.values():
            os.lseek(handle, 0, os.SEEK_SET)
        starved = 0
        if self.group is not None:
            self.group.limit(held + limits.memory, limits.processes + 2)  # our own files; bubblewrap's own processes
            starved = self.group.starved()
        run = _Started(argv, files, limits, self.group)
        try:
            why = run.watch(stdin, started + limits.seconds, (most, limits.output), 0 if self.group else limits.memory)
        finally:
            run.end()
            if self.group is not None:
                self.group.empty()
        if self.group is not None and self.group.starved() > starved:
            why = "out of memory"
        out, err = (data.decode("utf-8", "replace") for data in run.said)
        outcome, code, detail = _outcome(why, run.status, run.code, err)
        return Result(outcome, out, err, code, round(time.monotonic() - started, 6), detail), bytes(run.said[0])


class _Started:
    """A program that is about to run: bubblewrap makes its place, and lets it begin when all limits are on it."""

    def __init__(
        self, argv: list[str], files: dict[str, tuple[int, bool]], limits: Limits, group: Group | None
    ) -> None:
        self.said = (bytearray(), bytearray())
        self.status = b""  # what bubblewrap told
        self.code: int | None = None
        self.finished = False
        self.limits, self.group = limits, group
        inside, self.stdin = os.pipe()
        self.stdout, out = os.pipe()
        self.stderr, err = os.pipe()
        self.told, status = os.pipe()
        gate, self.gate = os.pipe()
        me = user(os.getpid())
        if me is not None:  # so that a program may open /dev/stdin by its name
            for handle in (inside, out, err):
                os.fchown(handle, me, me)
        rules = _file(program())
        passed = [status, rules, gate, *(handle for handle, _ in files.values())]
        for handle in passed:
            os.set_inheritable(handle, True)
        line = command(argv, files, status, rules, gate, limits, os.getpid())
        streams = [(os.POSIX_SPAWN_DUP2, handle, number) for number, handle in enumerate((inside, out, err))]
        self.pid = os.posix_spawn(line[0], line, {}, file_actions=streams, setsid=True, setsigdef=[signal.SIGPIPE])
        for handle in (inside, out, err, status, rules, gate):
            os.close(handle)

    def _begin(self, pid: int) -> None:
        """Let the first process in the place run on, under its limits, which all that it starts have, too."""
        if self.group is not None:
            spare(pid, 1000)
        else:
            resource.prlimit(pid, resource.RLIMIT_DATA, (self.limits.memory, self.limits.memory))
        seconds = math.ceil(self.limits.seconds)
        resource.prlimit(pid, resource.RLIMIT_CPU, (seconds, seconds + 1))
        resource.prlimit(pid, resource.RLIMIT_CORE, (0, 0))
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (256, 256))
        if user(0) is not None:  # else set inside, where only the run is counted
            resource.prlimit(pid, resource.RLIMIT_NPROC, (self.limits.processes, self.limits.processes))
        os.write(self.gate, b"+")
        os.close(self.gate)
        self.gate = -1

    def watch(self, stdin: bytes, until: float, most: tuple[int, int], memory: int) -> str:
        """Feed it and listen until it ends: "", or why it must be ended. `memory`: bytes to look after, 0 for none."""
        poll = select.poll()
        readers = {self.stdout: self.said[0], self.stderr: self.said[1]}
        caps = dict(zip(readers, most, strict=True))
        for handle in (*readers, self.told):
            poll.register(handle, select.POLLIN)
        os.set_blocking(self.stdin, False)
        poll.register(self.stdin, select.POLLOUT)
        open_ = {*readers, self.told}
        left = memoryview(stdin)
        while open_:
            wait = until - time.monotonic()
            if wait <= 0:
                return "timed out"
            if memory and _resident(self.pid) > memory:
                return "out of memory"
            for handle, _ in poll.poll(1000 * (min(wait, _TICK) if memory else wait) + 1):
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
                elif handle == self.told:
                    self.status += data
                    if self.gate >= 0 and self.status.endswith(b"}\n"):  # of several processes it tells one by one
                        self._begin(_told(self.status, "child-pid")[0])
                else:
                    room = caps[handle] - len(readers[handle])
                    readers[handle] += data[:room]
                    if len(data) > room:
                        return "output too long"
        self.finished = True
        return ""

    def _feed(self, left: memoryview) -> memoryview:
        """What is left of the input after as much as it takes now; nothing if it takes none any more."""
        try:
            return left[os.write(self.stdin, left[:65536]) :] if left else left
        except BlockingIOError:
            return left
        except BrokenPipeError:
            return left[:0]

    def end(self) -> None:
        """Kill what still runs, wait until all of it is gone, and close the pipes."""
        for handle in (self.stdin, self.stdout, self.stderr, self.told, self.gate):
            if handle >= 0:
                os.close(handle)
        if not _ends(self.pid, _GRACE if self.finished else 0.0):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)  # what it started ends with it, by bubblewrap's own doing
        self.code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        with contextlib.suppress(ChildProcessError):  # orphans become our children
            while True:
                os.waitpid(-1, 0)


def _outcome(why: str, status: bytes, code: int | None, stderr: str) -> tuple[str, int | None, str]:
    """(outcome, exit code, detail) of a run. SandboxError if the program was never started."""
    if why:
        return why, None, ""
    codes = _told(status, "exit-code")
    if not codes:
        raise SandboxError(f"bubblewrap did not start the program (exit code {code}): {stderr.strip()[-500:]}")
    if codes[0] == 0:
        return "ok", 0, ""
    if codes[0] == 128 + signal.SIGXCPU:
        return "timed out", None, "the CPU time was over"
    if any(word in stderr[-2000:] for word in _STARVED):
        return "out of memory", codes[0], ""
    if codes[0] > 128 and codes[0] - 128 in {int(known) for known in signal.Signals}:
        return "killed", None, signal.Signals(codes[0] - 128).name
    return "error", codes[0], ""


def _told(status: bytes, key: str) -> list[int]:
    """What bubblewrap said under that key: it writes one JSON object per line."""
    told = [json.loads(line) for line in status.splitlines()]
    return [entry[key] for entry in told if key in entry]


def _ends(pid: int, seconds: float) -> bool:
    """Whether a child ends by itself in that time."""
    handle = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        return bool(poll.poll(1000 * seconds))
    finally:
        os.close(handle)


def _resident(pid: int) -> int:
    """Bytes of memory that a process and all below it hold now."""
    total, left = 0, [pid]
    while left:
        one = left.pop()
        with contextlib.suppress(OSError, IndexError):
            total += int(_read(f"/proc/{one}/statm").split()[1]) * resource.getpagesize()
            left += [int(child) for child in _read(f"/proc/{one}/task/{one}/children").split()]
    return total


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _file(data: bytes) -> int:
    """A descriptor of a file in memory, at its beginning."""
    handle = os.memfd_create("box")
    with os.fdopen(os.dup(handle), "wb") as file:
        file.write(data)
    os.lseek(handle, 0, os.SEEK_SET)
    return handle


if __name__ == "__main__":
    main()
