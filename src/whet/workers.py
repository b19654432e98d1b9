"""Processes that work side by side, with one thread each. Imports take seconds, so on Linux a server does them once and
every worker is a fork of it; elsewhere each is started anew."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import forkserver

FORKED = sys.platform == "linux"
_ALONE = {"OMP_NUM_THREADS": "1", "GOMP_SPINCOUNT": "1000"}  # a waiting thread must not burn a shared core
_IMPORTED = ["whet.reproduce", "whet.models.tiny"]


def prepare() -> None:
    """Start the server now, if there is none, so that it imports beside whoever calls."""
    if FORKED:
        forkserver.set_forkserver_preload(_IMPORTED)
        with _environment(_ALONE):
            forkserver.ensure_running()


@contextmanager
def pool(workers: int, interrupted: Callable[[], None]) -> Iterator[ProcessPoolExecutor]:
    """So many processes. `interrupted` is called in each on Ctrl-C, which reaches every process of a terminal; a worker
    whose parent was killed ends at once. What is left at the end is cancelled, what runs is waited for."""
    prepare()
    context = multiprocessing.get_context("forkserver" if FORKED else "spawn")
    with _environment(_ALONE):
        executor = ProcessPoolExecutor(workers, context, initializer=_begin, initargs=(interrupted,))
        try:
            yield executor
        finally:
            executor.shutdown(wait=True, cancel_futures=True)


def _begin(interrupted: Callable[[], None]) -> None:
    signal.signal(signal.SIGINT, lambda *_: interrupted())
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@contextmanager
def _environment(wanted: dict[str, str]) -> Iterator[None]:
    usual = {name: os.environ.get(name) for name in wanted}
    os.environ |= wanted
    try:
        yield
    finally:
        for name, value in usual.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
