"""Runs programs that nobody trusts, several side by side.

    results = await shared().run(Program({"main.py": text}, (PYTHON, "/box/main.py")), ["3 4\\n", "5 6\\n"])

Every run is a process of its own in a sandbox of its own: no two snippets ever share an interpreter, a folder or a
file. Threads talk to the wardens that start them, so the pool serves any event loop, or none.
"""

from __future__ import annotations

import asyncio
import atexit
import dataclasses
import hashlib
import json
import os
import queue
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from whet.idle import outside
from whet.sandbox import container
from whet.sandbox.bubblewrap import found
from whet.sandbox.limits import MIB, Limits, Result, SandboxError
from whet.verifiers.process import Died, Stuck, WorkerProcess

BUBBLEWRAP = "bubblewrap"
REMEMBERED = 64 * MIB  # our choice
_ENTRY = 2048  # about the bytes of what keeps a result
_LEAVE = 0.2  # our choice: seconds until a warden that is at work is ended
SLACK = 30.0  # our choice: seconds beyond all its limits after which a warden is given up


@dataclass(frozen=True)
class Program:
    """`files`: {name: text}, in /box. `run`: the command line of one run, which starts in an empty /scratch.
    `build`: a command that is run once before all runs and leaves the file `artifact` in its folder; it is then in
    /box, too. ValueError for a name with a folder in it, and for a build without artifact."""

    files: Mapping[str, str]
    run: tuple[str, ...]
    build: tuple[str, ...] = ()
    artifact: str = ""

    def __post_init__(self) -> None:
        if not self.run:
            raise ValueError("Program.run must be a command line, got an empty one")
        for name in [*self.files, *([self.artifact] if self.build else [])]:
            if not name or "/" in name or "\0" in name or name in (".", ".."):
                raise ValueError(f"Program: {name!r} must be the name of a file, without a folder")


@dataclass(frozen=True)
class Ran:
    """`results`: one for each input, in order; none after a build that failed. `built`: that of a build."""

    results: tuple[Result, ...]
    built: Result | None = None


@dataclass(frozen=True)
class _Job:
    request: dict[str, Any]
    patience: float
    key: bytes
    ran: Future[Ran] = field(default_factory=Future)


def chosen() -> str:
    """What the environment variable WHET_SANDBOX says: "bubblewrap", also where it is not set, "docker", "podman", or
    an engine with an image, "docker:IMAGE"."""
    return os.environ.get("WHET_SANDBOX", "") or BUBBLEWRAP


class Sandbox:
    """`workers` places, each for one program at a time; 0: one per core. `provider`: what makes them, see `chosen`.
    `remembered`: about how many bytes of results are kept, so that the same need not be run again.

    ValueError for a provider that is none; SandboxError where it cannot be used.
    """

    def __init__(self, workers: int = 0, provider: str = BUBBLEWRAP, remembered: int = REMEMBERED) -> None:
        if workers < 0:
            raise ValueError(f"Sandbox.workers must be at least 1, or 0 for one per core, got {workers}")
        if provider == BUBBLEWRAP:
            found()
        else:
            container.provider(provider)
        self.provider, self.remembered = provider, remembered
        self.workers = workers or os.cpu_count() or 1
        self.pid = os.getpid()
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._wardens: dict[int, WorkerProcess] = {}
        self._kept: OrderedDict[bytes, tuple[Future[Ran], int]] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()
        self._closed = False

    async def run(
        self, program: Program, stdins: Sequence[str] = ("",), limits: Limits | None = None, build: Limits | None = None
    ) -> Ran:
        """The program, run once for each text on its standard input; after one that times out the others are not run
        and count as that. The same program with the same input is run once. SandboxError if the sandbox fails."""
        ran = self._submit(program, stdins, limits or Limits(), build or _BUILD)
        if not ran.done():
            with outside():
                await asyncio.wait([asyncio.wrap_future(ran)])
        return ran.result()

    def run_now(
        self, program: Program, stdins: Sequence[str] = ("",), limits: Limits | None = None, build: Limits | None = None
    ) -> Ran:
        """`run` for code without an event loop: waits here."""
        return self._submit(program, stdins, limits or Limits(), build or _BUILD).result()

    def close(self) -> None:
        """End everything. What is still awaited fails."""
        with self._lock:
            self._closed = True
            wardens = list(self._wardens.values())
        if os.getpid() != self.pid:  # a forked child: they are the parent's
            return
        for warden in wardens:
            warden.leave(_LEAVE)
        for _ in self._threads:
            self._jobs.put(None)

    def _submit(self, program: Program, stdins: Sequence[str], limits: Limits, build: Limits) -> Future[Ran]:
        request = {
            "files": dict(program.files),
            "build": list(program.build) or None,
            "artifact": program.artifact,
            "argv": list(program.run),
            "stdins": list(stdins),
            "limits": dataclasses.asdict(limits),
            "build_limits": dataclasses.asdict(build),
        }
        key = hashlib.blake2b(json.dumps(request, sort_keys=True).encode(), digest_size=16).digest()
        with self._lock:
            if self._closed:
                raise SandboxError("this sandbox is closed")
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key][0]
            runs = len(stdins) + bool(program.build)
            patience = SLACK + bool(program.build) * build.seconds + len(stdins) * limits.seconds
            patience += 0 if self.provider == BUBBLEWRAP else 2 * container.START * runs
            job = _Job(request, patience, key)
            job.ran.set_running_or_notify_cancel()  # many may wait for it: none can cancel it for the others
            self._kept[key] = job.ran, 0
            self._jobs.put(job)
            if len(self._threads) < self.workers:
                slot = len(self._threads)
                thread = threading.Thread(target=self._serve, args=(slot,), name=f"whet-sandbox-{slot}", daemon=True)
                self._threads.append(thread)
                thread.start()
        return job.ran

    def _serve(self, slot: int) -> None:
        """One thread, its warden, and one job after another. Nobody is left waiting, whatever goes wrong."""
        while job := self._jobs.get():
            try:
                self._settle(job, self._ask(slot, job))
            except Exception as error:
                self._drop(slot)
                self._forget(job)
                job.ran.set_exception(
                    error if isinstance(error, SandboxError) else SandboxError(f"{type(error).__name__}: {error}")
                )
        self._drop(slot)

    def _ask(self, slot: int, job: _Job) -> dict[str, Any]:
        """What the warden says, or another one if it has died since its last job."""
        while True:
            old = slot in self._wardens
            warden = self._wardens.get(slot) or self._start(slot)
            try:
                warden.send(job.request)
                reply = warden.read(job.patience)
                break
            except (Died, Stuck) as error:
                self._drop(slot)
                if not old or isinstance(error, Stuck) or self._closed:
                    raise SandboxError(f"the sandbox was lost: {error}") from None
        if "failed" in reply:
            raise SandboxError(reply["failed"])
        return reply

    def _start(self, slot: int) -> WorkerProcess:
        bare = self.provider == BUBBLEWRAP
        warden = WorkerProcess(*(["whet.sandbox.warden"] if bare else ["whet.sandbox.container", self.provider]))
        with self._lock:
            self._wardens[slot] = warden
        if self._closed:  # in the meantime: `close` may have missed this one
            self._drop(slot)
            raise SandboxError("this sandbox is closed")
        return warden

    def _drop(self, slot: int) -> None:
        with self._lock:
            warden = self._wardens.pop(slot, None)
        if warden is not None:
            warden.kill()

    def _settle(self, job: _Job, reply: dict[str, Any]) -> None:
        results = tuple(Result(*values) for values in reply["results"])
        built = None if reply["built"] is None else Result(*reply["built"])
        every = [*results, *([built] if built else [])]
        size = _ENTRY + sum(len(one.stdout) + len(one.stderr) + 200 for one in every)
        with self._lock:
            if job.key in self._kept:
                self._kept[job.key] = job.ran, size
                self._size += size
            while self._size > self.remembered:
                self._size -= self._kept.popitem(last=False)[1][1]
        job.ran.set_result(Ran(results, built))

    def _forget(self, job: _Job) -> None:
        """A fault of ours may pass: it is tried again next time."""
        with self._lock:
            self._kept.pop(job.key, None)


_BUILD = Limits(seconds=20.0, memory=1024 * MIB)  # our choice: a compiler takes longer than what it compiles

_shared: Sandbox | None = None
_shared_lock = threading.Lock()


def shared() -> Sandbox:
    """The sandbox of this process, made when first asked for and closed at exit. A forked child makes its own."""
    global _shared
    with _shared_lock:
        if _shared is None or _shared.pid != os.getpid():
            _shared = Sandbox(provider=chosen())
            atexit.register(_shared.close)
        return _shared
