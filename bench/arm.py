"""A side of a race: a process of its own, which does blocks of steps when told to and waits in between."""

from __future__ import annotations

import multiprocessing as mp
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Self

import torch

THREADS = len(os.sched_getaffinity(0))  # of torch, in every arm


class Over(Exception):
    """No more blocks are wanted."""


@dataclass
class Block:
    """Steps that were measured. A step is everything from the end of the one before it to its own end."""

    steps: int = 0
    tokens: int = 0  # of completions
    seconds: float = 0.0
    playing: float = 0.0  # of these, seconds of generation and scoring; the rest is the training step


class Worker:
    """The end of the pipe that is in the arm's process."""

    def __init__(self, pipe: Connection) -> None:
        self.pipe = pipe
        self._left = 0
        self._block = Block()
        self._since = 0.0

    def begin(self, told: Any) -> None:
        """Say that everything is made, with what the other side shall know of it, and wait for the first block."""
        self.pipe.send(told)
        self._wait()

    def done(self, tokens: int, playing: float) -> None:
        """A step is done. Returns when the next one shall begin; raises `Over` if there is none."""
        if on_gpu():
            torch.cuda.synchronize()
        now, block = time.perf_counter(), self._block
        block.steps, block.tokens = block.steps + 1, block.tokens + tokens
        block.seconds, block.playing = block.seconds + now - self._since, block.playing + playing
        self._since, self._left = now, self._left - 1
        if not self._left:
            self.pipe.send(block)
            self._wait()

    def _wait(self) -> None:
        if not (steps := self.pipe.recv()):
            raise Over
        self._left, self._block, self._since = steps, Block(), time.perf_counter()


@dataclass
class Arm:
    """The end of the pipe that is in the bench's process. `run(pipe, *arguments)` is what the arm's process does; it
    makes a `Worker` of the pipe. `told` is what it said when it was `ready`."""

    run: Callable[..., None]
    arguments: tuple[Any, ...]
    told: Any = field(default=None, init=False)

    def __enter__(self) -> Self:
        context = mp.get_context("spawn")  # a fresh interpreter: what one arm imports is not in the other's memory
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_enter, args=(self.run, theirs, *self.arguments), daemon=True)
        self.process.start()
        theirs.close()
        return self

    def ready(self) -> None:
        """Wait until it could begin. Several arms get ready at the same time."""
        self.told = self._hear()

    def block(self, steps: int) -> Block:
        """Let it do so many steps, and say how they went."""
        self.pipe.send(steps)
        return self._hear()

    def end(self) -> Any:
        """Let it end what it does: its `peak_memory`, or what it told when the next thing that it
        was made for was ready."""
        self.pipe.send(0)
        return self._hear()

    def __exit__(self, *_: object) -> None:
        self.pipe.close()
        self.process.join(10)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()

    def _hear(self) -> Any:
        try:
            return self.pipe.recv()
        except EOFError:
            raise RuntimeError(f"the process of {self.run.__module__} ended early; its error stands above") from None


def on_gpu() -> bool:
    """Whether this process has used one."""
    return torch.cuda.is_available() and torch.cuda.is_initialized()


def _enter(run: Callable[..., None], pipe: Connection, *arguments: Any) -> None:
    torch.set_num_threads(THREADS)
    try:
        run(pipe, *arguments)
    except Over:
        pipe.send(peak_memory())


def peak_memory() -> int:
    """The most memory this process ever held, in bytes: of the GPU, where it used one (what torch reserved there);
    else of the machine (VmHWM, which other processes' memory is not part of)."""
    if on_gpu():
        return torch.cuda.max_memory_reserved()
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("this system does not tell a process's peak memory (VmHWM in /proc/self/status)")
