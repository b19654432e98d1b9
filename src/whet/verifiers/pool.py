"""Verdicts from a pool of worker processes: an answer can be wrong, slow or hostile, and none of it reaches us.

    verdicts = await shared().check("math", [(answer, gold), ...])

Whatever the answer does in there (loops, eats memory, ends the process) costs it at most the deadline and one worker,
and the others' verdicts are not touched. Threads talk to the workers, so a pool serves any event loop, or none.
"""

from __future__ import annotations

import asyncio
import atexit
import hashlib
import json
import os
import queue
import threading
from collections import OrderedDict, deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, NamedTuple

from whet.idle import outside
from whet.verifiers.process import START, Died, Stuck, WorkerProcess

LONGEST = 1_000_000  # our choice: characters; a longer answer is not even looked at
BATCH = 32  # our choice: most answers handed to a worker at a time
REMEMBERED = 65_536  # our choice: verdicts kept
SERVED = 4_096  # our choice: answers after which a worker is replaced, so that no leak lasts


class Verdict(NamedTuple):
    """`outcome`: right, wrong, unparseable; timed out, crashed (the answer's own fault); failed (ours: NaN). `value`:
    what a verifier that grades gives for it, else None."""

    outcome: str
    detail: str = ""
    seconds: float = 0.0
    value: float | None = None


class _Item(NamedTuple):
    answer: str
    gold: str
    key: bytes
    verdict: Future[Verdict]


@dataclass(frozen=True)
class _Batch:
    verifier: str
    options: dict[str, Any]
    items: deque[_Item]


class Pool:
    """`workers` processes, started when first needed; `deadline` seconds per answer; `memory` bytes per process."""

    def __init__(self, workers: int = 2, deadline: float = 5.0, memory: int = 2 * 1024**3) -> None:
        if workers < 1:
            raise ValueError(f"Pool.workers must be at least 1, got {workers}")
        if deadline <= 0:
            raise ValueError(f"Pool.deadline must be more than 0 seconds, got {deadline}")
        if memory < 0:
            raise ValueError(f"Pool.memory must be bytes, or 0 for no limit, got {memory}")
        self.workers, self.deadline, self.memory = workers, deadline, memory
        self.pid = os.getpid()
        self._batches: queue.SimpleQueue[_Batch | None] = queue.SimpleQueue()
        self._idle = threading.Semaphore(0)  # threads that wait for a batch
        self._threads: list[threading.Thread] = []
        self._processes: set[WorkerProcess] = set()
        self._verdicts: OrderedDict[bytes, Future[Verdict]] = OrderedDict()
        self._lock = threading.Lock()
        self._closed = False

    async def check(self, verifier: str, pairs: Sequence[tuple[str, str]], **options: Any) -> list[Verdict]:
        """A verdict for each (answer, gold), in order. `options` go to the verifier. Never raises for an answer."""
        verdicts = self._submit(verifier, pairs, options)
        if waiting := {verdict for verdict in verdicts if not verdict.done()}:
            with outside():
                await asyncio.wait([asyncio.wrap_future(verdict) for verdict in waiting])
        return [verdict.result() for verdict in verdicts]

    def check_now(self, verifier: str, pairs: Sequence[tuple[str, str]], **options: Any) -> list[Verdict]:
        """`check` for code without an event loop: waits here."""
        return [verdict.result() for verdict in self._submit(verifier, pairs, options)]

    def close(self) -> None:
        """End all workers. Verdicts still awaited become "failed"."""
        with self._lock:
            self._closed = True
            processes = list(self._processes)
        if os.getpid() != self.pid:  # a forked child: the workers are the parent's
            return
        for process in processes:
            process.kill()
        for _ in self._threads:
            self._batches.put(None)

    def _submit(
        self, verifier: str, pairs: Sequence[tuple[str, str]], options: dict[str, Any]
    ) -> list[Future[Verdict]]:
        verdicts: list[Future[Verdict]] = []
        fresh: list[_Item] = []
        head = json.dumps([verifier, options], sort_keys=True)
        with self._lock:
            if self._closed:
                raise RuntimeError("this pool of verifiers is closed")
            for answer, gold in pairs:
                key = hashlib.blake2b(json.dumps([head, answer, gold]).encode(), digest_size=16).digest()
                verdict = self._verdicts.get(key)
                if verdict is None:
                    verdict = self._verdicts[key] = Future()
                    verdict.set_running_or_notify_cancel()  # many may wait for it: none can cancel it for the others
                    if len(answer) > LONGEST:
                        verdict.set_result(
                            Verdict("unparseable", f"{len(answer)} characters, at most {LONGEST} are read")
                        )
                    else:
                        fresh.append(_Item(answer, gold, key, verdict))
                self._verdicts.move_to_end(key)
                verdicts.append(verdict)
            while len(self._verdicts) > REMEMBERED:
                self._verdicts.popitem(last=False)
            size = min(BATCH, -(-len(fresh) // self.workers))
            for start in range(0, len(fresh), size or 1):
                self._batches.put(_Batch(verifier, options, deque(fresh[start : start + size])))
                self._start_thread()
        return verdicts

    def _start_thread(self) -> None:
        if not self._idle.acquire(blocking=False) and len(self._threads) < self.workers:
            thread = threading.Thread(target=self._serve, name="whet-verifier", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self) -> None:
        """One thread and its worker. Whatever goes wrong here is ours: nobody is left waiting for it."""
        process: WorkerProcess | None = None
        while batch := self._batches.get():
            try:
                process = self._work(process, batch)
            except Exception as error:
                process = self._drop(process)
                self._fail(batch, f"{type(error).__name__}: {error}")
            self._idle.release()
        self._drop(process)

    def _work(self, process: WorkerProcess | None, batch: _Batch) -> WorkerProcess | None:
        """Settle every item of `batch`, going on with a new worker where one was lost."""
        while batch.items:
            try:
                process, ready = self._ask(process, batch)
            except (Died, Stuck, OSError) as error:
                self._fail(batch, f"no worker for verifier {batch.verifier!r}: {error}")
                return None
            if "failed" in ready:
                self._fail(batch, ready["failed"])
            while batch.items and process is not None:
                verdict, spent = self._read(process)
                self._settle(batch.items.popleft(), verdict)
                if spent:
                    process = self._drop(process)
        return process

    def _read(self, process: WorkerProcess) -> tuple[Verdict, bool]:
        """The next verdict of a worker, and whether that was its last."""
        try:
            reply = process.read(self.deadline)
        except Stuck:
            return Verdict("timed out", f"no verdict within {self.deadline:g} s", self.deadline), True
        except Died as error:
            return Verdict("failed" if self._closed else "crashed", str(error)), True
        process.served += 1
        spent = bool(reply.get("spent")) or process.served >= SERVED
        return Verdict(reply["outcome"], reply["detail"], reply["seconds"], reply.get("value")), spent

    def _ask(self, process: WorkerProcess | None, batch: _Batch) -> tuple[WorkerProcess, dict[str, Any]]:
        """Hand the batch to a worker and wait until it has imported the verifier. A worker that has died since its
        last batch is replaced once."""
        pairs = [[item.answer, item.gold] for item in batch.items]
        request = {"check": batch.verifier, "options": batch.options, "pairs": pairs}
        while True:
            old = process
            process = process or self._start()
            try:
                process.send(request)
                return process, process.read(START)
            except (Died, Stuck):
                self._drop(process)
                process = None
                if old is None:
                    raise

    def _start(self) -> WorkerProcess:
        if self._closed:
            raise Died("the pool was closed")
        process = WorkerProcess("whet.verifiers.worker", str(self.memory))
        with self._lock:
            self._processes.add(process)
        if self._closed:  # in the meantime: `close` may have missed this one
            self._drop(process)
            raise Died("the pool was closed")
        return process

    def _drop(self, process: WorkerProcess | None) -> None:
        if process is not None:
            with self._lock:
                self._processes.discard(process)
            process.kill()

    def _fail(self, batch: _Batch, why: str) -> None:
        while batch.items:
            self._settle(batch.items.popleft(), Verdict("failed", why))

    def _settle(self, item: _Item, verdict: Verdict) -> None:
        if verdict.outcome == "failed":  # our fault may pass: ask again next time
            with self._lock:
                self._verdicts.pop(item.key, None)
        item.verdict.set_result(verdict)


_shared: Pool | None = None
_shared_lock = threading.Lock()


def shared() -> Pool:
    """The pool of this process, made when first asked for and closed at exit. A forked child makes its own."""
    global _shared
    with _shared_lock:
        if _shared is None or _shared.pid != os.getpid():
            _shared = Pool(workers=max(2, min(16, (os.cpu_count() or 2) // 2)))  # our choice
            atexit.register(_shared.close)
        return _shared
