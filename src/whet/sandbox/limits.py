"""What a run in the sandbox may use, and what came of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

OUTCOMES = ("ok", "error", "timed out", "out of memory", "killed", "output too long")
MIB = 1024**2


class SandboxError(OSError):
    """The sandbox itself cannot do its work here: never the fault of what should have run in it."""


@dataclass(frozen=True)
class Limits:
    """`seconds` of wall clock, and of CPU time for each process; `memory` bytes of all processes and the scratch folder
    together; `processes` at a time, threads included; `output` bytes of each of stdout and stderr; `scratch` bytes of
    files. All values are our choice.

    Raises ValueError for a value that leaves no room for a program.
    """

    seconds: float = 5.0
    memory: int = 512 * MIB
    processes: int = 32
    output: int = 64 * 1024
    scratch: int = 64 * MIB

    def __post_init__(self) -> None:
        if not 0 < self.seconds < math.inf:
            raise ValueError(f"Limits.seconds must be a positive number of seconds, got {self.seconds}")
        for field, least in (("memory", 8 * MIB), ("processes", 1), ("output", 1), ("scratch", 4096)):
            if getattr(self, field) < least:
                raise ValueError(f"Limits.{field} must be at least {least}, got {getattr(self, field)}")


class Result(NamedTuple):
    """`outcome`, one of `OUTCOMES`:

    ok                exit code 0
    error             another exit code, `code`
    timed out         the wall clock or the CPU time was over
    out of memory     the kernel ended it for its memory, or it ended by its own word that there was none left
    killed            it died of a signal, which `detail` names
    output too long   it wrote more than it may; what fitted is there

    `stdout`, `stderr`: what it wrote, undecodable bytes replaced. `seconds`: wall clock.
    """

    outcome: str
    stdout: str = ""
    stderr: str = ""
    code: int | None = None
    seconds: float = 0.0
    detail: str = ""
