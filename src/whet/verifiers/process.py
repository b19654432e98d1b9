"""The parent's end of one worker process."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from typing import Any

START = 60.0  # our choice: seconds a worker may take to start, import a verifier and prepare the gold answers


class Stuck(Exception):
    """No reply within the deadline."""


class Died(Exception):
    """The process ended instead of replying."""


class WorkerProcess:
    """Starts `python -m MODULE PARENT ARGUMENTS`, which says hello; `send` a request, `read` its replies, each within
    a deadline.

    `quiet`: what it prints is thrown away. Started by a thread that
    lives as long as the worker is wanted, for on Linux the worker ends with the thread that started it.
    """

    def __init__(self, module: str, *arguments: str, quiet: bool = True) -> None:
        self.served = 0
        self._seen = b""
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", module, str(os.getpid()), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if quiet else None,
            env=_environment(),
            start_new_session=True,  # Ctrl-C is for the parent, and a kill reaches whatever the worker has started
        )
        try:
            self.read(START)
        except (Stuck, Died):
            self.kill()
            raise

    def send(self, request: dict[str, Any]) -> None:
        """Raises Died if nobody is there to read it, TypeError or ValueError if it is no JSON."""
        data = json.dumps(request).encode() + b"\n"
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(data)
            self._process.stdin.flush()
        except OSError:
            raise Died(self._why()) from None

    def read(self, deadline: float) -> dict[str, Any]:
        """The next reply, waiting `deadline` seconds for it. Raises Stuck or Died."""
        assert self._process.stdout is not None
        handle, end = self._process.stdout.fileno(), time.monotonic() + deadline
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        while b"\n" not in self._seen:
            left = end - time.monotonic()
            if not poll.poll(max(0, left * 1000)):
                raise Stuck(f"no reply within {deadline:g} s")
            data = os.read(handle, 1 << 16)
            if not data:
                raise Died(self._why())
            self._seen += data
        line, self._seen = self._seen.split(b"\n", 1)
        return json.loads(line)

    def leave(self, seconds: float) -> None:
        """Let it end by itself, if it has nothing to do, within so many seconds; else `kill` it."""
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait(seconds)
        self.kill()

    def kill(self) -> None:
        """End it and all it has started, at once."""
        with contextlib.suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()

    def _why(self) -> str:
        try:
            code = self._process.wait(1)
        except subprocess.TimeoutExpired:
            return "the worker closed its output"
        return f"the worker ended with {f'signal {-code}' if code < 0 else f'exit code {code}'}"


def _environment() -> dict[str, str]:
    """The parent's, with its import path, one thread per worker, and one order of hashes: a verdict must depend on
    answer and gold alone."""
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    return {
        **os.environ,
        "PYTHONPATH": path,
        "PYTHONHASHSEED": "0",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
