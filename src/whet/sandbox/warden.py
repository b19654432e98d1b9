"""The process that starts what runs in the sandbox, watches and ends it: `python -m whet.sandbox.warden PARENT`, see
`jobs`. It is small, so that starting from it is quick.
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

from whet.sandbox.bubblewrap import command, user
from whet.sandbox.cgroups import Group, spare
from whet.sandbox.jobs import Exchange, Files, ended, serve
from whet.sandbox.limits import Limits, Result, SandboxError
from whet.sandbox.seccomp import program
from whet.verifiers.worker import die_with

_GRACE = 1.0  # our choice: seconds in which bubblewrap must end when all it started has
_TICK = 0.02  # our choice: seconds between two looks at memory where the kernel does not count it


def main() -> None:
    die_with(int(sys.argv[1]))
    ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER: be the parent of all orphans below
    warden = Warden()
    serve(warden.run)
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
        result, _ = self.run(["/bin/sh", "-c", many], {}, b"", Limits(processes=3), 1024)
        if result.outcome != "error" or "fork" not in result.stderr:
            told = result.stderr.strip()[-300:] or "it does not hold"
            raise SandboxError(f"processes of the sandbox cannot be limited on this machine: {told}")

    def close(self) -> None:
        if self.group is not None:
            self.group.remove()

    def run(self, argv: list[str], files: Files, stdin: bytes, limits: Limits, most: int) -> tuple[Result, bytes]:
        """One program, from its start until nothing of it is left; see `jobs.Run`."""
        began = time.monotonic()
        starved = 0
        if self.group is not None:
            held = sum(len(data) for data, _ in files.values())  # as ours
            self.group.limit(held + limits.memory, limits.processes + 2)  # bubblewrap's own
            starved = self.group.starved()
        started = _Started(argv, files, limits, self.group)
        try:
            why = started.watch(stdin, began + limits.seconds, (most, limits.output))
        finally:
            started.end()
            if self.group is not None:
                self.group.empty()
        if self.group is not None and self.group.starved() > starved:
            why = "out of memory"
        out, err = started.pipes.texts()
        outcome, code, detail = (why, None, "") if why else ended(started.exit_code(err), err)
        took = round(time.monotonic() - began, 6)
        return Result(outcome, out, err, code, took, detail), bytes(started.pipes.said[0])


class _Started:
    """A program that is about to run: bubblewrap makes its place, and lets it begin when all limits are on it."""

    def __init__(self, argv: list[str], files: Files, limits: Limits, group: Group | None) -> None:
        self.status = b""  # what bubblewrap told
        self.code: int | None = None  # bubblewrap's own
        self.finished = False
        self.limits, self.group = limits, group
        inside, stdin = os.pipe()
        stdout, out = os.pipe()
        stderr, err = os.pipe()
        self.pipes = Exchange(stdin, stdout, stderr)
        self.told, status = os.pipe()
        gate, self.gate = os.pipe()
        me = user(os.getpid())
        if me is not None:  # so that a program may open /dev/stdin by its name
            for handle in (inside, out, err):
                os.fchown(handle, me, me)
        rules = _file(program())
        given = {name: (_file(data), executable) for name, (data, executable) in files.items()}
        passed = [status, rules, gate, *(handle for handle, _ in given.values())]
        for handle in passed:
            os.set_inheritable(handle, True)
        line = command(argv, given, status, rules, gate, limits, os.getpid())
        streams = [(os.POSIX_SPAWN_DUP2, handle, number) for number, handle in enumerate((inside, out, err))]
        self.pid = os.posix_spawn(line[0], line, {}, file_actions=streams, setsid=True, setsigdef=[signal.SIGPIPE])
        for handle in (inside, out, err, *passed):
            os.close(handle)

    def watch(self, stdin: bytes, until: float, most: tuple[int, int]) -> str:
        """Feed it and listen until it ends: "", or why it must be ended."""
        look = self._look if self.group is None else None
        why = self.pipes.hold(stdin, until, most, {self.told: self._hear}, look, _TICK if look else 3600.0)
        self.finished = not why
        return why

    def _look(self) -> str:
        return "out of memory" if _resident(self.pid) > self.limits.memory else ""

    def _hear(self, data: bytes) -> None:
        self.status += data
        if self.gate >= 0 and self.status.endswith(b"}\n"):
            self._begin(_told(self.status, "child-pid")[0])

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

    def end(self) -> None:
        """Kill what still runs, wait until all of it is gone, and close the pipes."""
        self.pipes.close()
        for handle in (self.told, self.gate):
            if handle >= 0:
                os.close(handle)
        if not _ends(self.pid, _GRACE if self.finished else 0.0):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)  # what it started ends with it, by bubblewrap's own doing
        self.code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        with contextlib.suppress(ChildProcessError):  # orphans become our children
            while True:
                os.waitpid(-1, 0)

    def exit_code(self, stderr: str) -> int:
        """The program's. SandboxError if it was never started."""
        codes = _told(self.status, "exit-code")
        if not codes:
            raise SandboxError(f"bubblewrap did not start the program (exit code {self.code}): {stderr.strip()[-500:]}")
        return codes[0]


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


def _file(data: bytes) -> int:
    """A descriptor of a file in memory, at its beginning."""
    handle = os.memfd_create("box")
    with os.fdopen(os.dup(handle), "wb") as file:
        file.write(data)
    os.lseek(handle, 0, os.SEEK_SET)
    return handle


if __name__ == "__main__":
    main()
