"""Whet's command line, without its plots, in processes of their own, which can be killed.

They are forked from a process that has imported everything and done nothing: each starts in milliseconds.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_forked = multiprocessing.get_context("forkserver")
_forked.set_forkserver_preload(["whet.cli", "whet.launch", "whet.own", "whet.screen", "whet.report", "pyarrow.parquet"])


def start(*words: str | Path, log: Path, env: Mapping[str, str] | None = None, die: int = 0, largest: int = 0) -> Any:
    """`whet WORDS` as a process; what it says is appended to `log`. With `die` = n it kills itself (SIGKILL) in front
    of its n-th call that makes something last on the disk: a write that is flushed, or a rename.
    `largest`: no file may have more bytes, as if the disk were full."""
    process = _forked.Process(target=_command, args=([str(w) for w in words], str(log), dict(env or {}), die, largest))
    process.start()
    return process


def finish(*words: str | Path, log: Path, env: Mapping[str, str] | None = None, die: int = 0, largest: int = 0) -> int:
    """The exit code of `whet WORDS`: -9 if it was killed."""
    process = start(*words, log=log, env=env, die=die, largest=largest)
    process.join(120)
    assert process.exitcode is not None, log.read_text()
    return process.exitcode


def _command(words: Sequence[str], log: str, env: Mapping[str, str], die: int, largest: int) -> None:
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    os.dup2(file, 1)
    os.dup2(file, 2)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.update(env)
    import torch

    torch.set_num_threads(1)
    if die:
        _die_at(die)
    elif "WHET_COUNT" in env:
        _die_at(10**9, Path(env["WHET_COUNT"]))
    from whet.cli import app
    from whet.metrics import plots

    plots.draw_all = lambda *_: []  # half of a small run's time, and held by tests of their own

    if largest:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
    sys.argv = ["whet", *words]
    app()


def _die_at(n: int, count: Path | None = None) -> None:
    """Kill this process in front of the n-th flush or rename. `count` gets how many there were so far."""
    calls = 0

    def counted(real: Any) -> Any:
        def call(*args: Any, **more: Any) -> Any:
            nonlocal calls
            calls += 1
            if count is not None:
                count.write_text(str(calls))
            if calls == n:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **more)

        return call

    for name in ("fsync", "rename", "replace"):
        setattr(os, name, counted(getattr(os, name)))
