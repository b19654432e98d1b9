"""A user's own reward function, `f(prompts, completions, **columns) -> list[float]`, in a process of its own."""

from __future__ import annotations

import ast
import asyncio
import atexit
import difflib
import math
import os
import queue
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from whet.idle import outside
from whet.verifiers import find
from whet.verifiers.process import START, Died, Stuck, WorkerProcess


class UserFunctionError(ValueError):
    """A user's function is missing, raises, hangs, or returns what is no list of numbers."""


@dataclass(frozen=True)
class UserFunction:
    """values_G = f(prompts_G, completions_G, **columns_G), called in a worker process, one call at a time.

    `path` is "file.py:function"; `deadline` seconds per call. The function gets by name whatever of `prompts`,
    `completions` and the columns it has parameters for. It runs with the caller's working folder and import path, its
    file's folder first, is loaded once, and may be async. None and NaN mean "no verdict" and come back as NaN.

    Raises UserFunctionError (a ValueError), when made, for a file that is missing or no Python and for a function that
    is not in it; when called, for one that raises (with the end of its traceback), hangs, returns another number of
    values, or a value that is no finite number.
    """

    path: str
    deadline: float = 60.0

    def __post_init__(self) -> None:
        if self.deadline <= 0:
            raise ValueError(f"UserFunction.deadline must be more than 0 seconds, got {self.deadline}")
        look(self.path)

    async def __call__(
        self, prompts: Sequence[Any], completions: Sequence[Any], columns: Mapping[str, Sequence[Any]] | None = None
    ) -> list[float]:
        """[G] floats. Everything given must be JSON values; each column has one entry per completion."""
        arguments = {**(columns or {}), "prompts": list(prompts), "completions": list(completions)}
        with outside():
            reply = await asyncio.wrap_future(_server(self.path).call(arguments, self.deadline))
        if "failed" in reply:
            raise UserFunctionError(f"{self.path} {reply['failed']}")
        values = reply["values"]
        if len(values) != len(completions):
            raise UserFunctionError(
                f"{self.path} returned {len(values)} values for {len(completions)} completions; return one for each"
            )
        for i, value in enumerate(values):
            if isinstance(value, dict):
                raise UserFunctionError(
                    f"{self.path} returned {value['not']} for completion {i}, which is no finite number; "
                    "return a float, or None for no verdict"
                )
        return [math.nan if value is None else value for value in values]


def look(path: str) -> None:
    """Find what is wrong with a path before any work, without running the file."""
    try:
        file, name = find.split(path)
        tree = ast.parse(file.read_text(encoding="utf-8"), str(file))
    except SyntaxError as error:
        said = (error.text or "").strip()
        raise UserFunctionError(f"{error.filename}:{error.lineno}: {error.msg}: {said}; mend the file") from error
    except (ValueError, OSError) as error:
        raise UserFunctionError(str(error)) from error
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.alias):
            names.add((node.asname or node.name).split(".")[0])
    if name not in names and "*" not in names:
        near = difflib.get_close_matches(name, names, n=2) or sorted(names)[:8]
        raise UserFunctionError(f"{path}: the file has no function {name!r}; it has {', '.join(near) or 'none'}")


class _Server:
    """A thread with the worker in which one file is loaded."""

    def __init__(self, path: str) -> None:
        self.path, self.pid = path, os.getpid()
        self.process: WorkerProcess | None = None
        self._calls: queue.SimpleQueue[tuple[dict[str, Any], float, Future[dict[str, Any]]]] = queue.SimpleQueue()
        threading.Thread(target=self._serve, name="whet-user-function", daemon=True).start()

    def call(self, arguments: dict[str, Any], deadline: float) -> Future[dict[str, Any]]:
        reply: Future[dict[str, Any]] = Future()
        reply.set_running_or_notify_cancel()
        self._calls.put((arguments, deadline, reply))
        return reply

    def stop(self) -> None:
        if self.process is not None and self.pid == os.getpid():
            self.process.kill()

    def _serve(self) -> None:
        while True:
            arguments, deadline, reply = self._calls.get()
            try:
                reply.set_result(self._ask(arguments, deadline))
            except Exception as error:
                if self.process is not None:
                    self.process.kill()
                    self.process = None
                reply.set_result({"failed": _in_words(error, deadline)})

    def _ask(self, arguments: dict[str, Any], deadline: float) -> dict[str, Any]:
        if self.process is None:
            self.process = WorkerProcess("whet.verifiers.worker", "0", quiet=False)
        self.process.send({"call": self.path, "arguments": arguments})
        ready = self.process.read(max(START, deadline))  # the first call imports the user's file
        reply = ready if "failed" in ready else self.process.read(deadline)
        if "failed" in reply:
            reply["failed"] = f"failed:\n{reply['failed']}"
        return reply


def _in_words(error: Exception, deadline: float) -> str:
    if isinstance(error, Stuck):
        return f"did not return within {deadline:g} s and was stopped; make it faster or raise its deadline"
    if isinstance(error, Died):
        return f"ended its process: {error}"
    if isinstance(error, TypeError):
        return f"can only be given JSON values: {error}; convert that column first"
    return f"could not be called: {type(error).__name__}: {error}"


_servers: dict[tuple[str, int], _Server] = {}


def _server(path: str) -> _Server:
    """One worker per file and function, for as long as the process lives; a forked child starts its own."""
    file, name = find.split(path)
    key = (f"{file}:{name}", os.getpid())
    if key not in _servers:
        _servers[key] = _Server(key[0])
        atexit.register(_servers[key].stop)
    return _servers[key]
