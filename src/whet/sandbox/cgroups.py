"""A control group for what runs in one place of the sandbox: the kernel's own count of its processes and its memory.

Both versions are known. Version 2 needs a folder whose controllers reach down to ours, as a systemd user session or a
container with a writable /sys/fs/cgroup has; version 1 needs write access, which only root has.

Moving a process into a group can take the kernel ten milliseconds and more, so nothing is moved for a run: the process
that starts the runs lives in the group itself, and what it starts is born there.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

_WAIT = 5.0  # our choice: seconds until what was killed must be gone


class Group:
    """One folder in version 2, two in version 1, and this process in them. OSError if there is nowhere to make them."""

    def __init__(self) -> None:
        self.folders: dict[str, Path] = {}
        self.homes = _homes()
        for parents in _places():
            try:
                self.folders = {kind: _made(parent, kind) for kind, parent in parents.items()}
                self.limit(2**30, 64)
                for folder in self.folders.values():
                    (folder / "cgroup.procs").write_text(str(os.getpid()))
                with contextlib.suppress(OSError):  # without the right to it the others still are before us
                    spare(os.getpid(), -1000)
                return
            except OSError:
                self.remove()
        raise OSError("no control group with limits for memory and processes can be made here")

    def limit(self, memory: int, processes: int) -> None:
        """Bytes and processes that all inside may have together, beside this process."""
        self._write("pids", "pids.max", processes + 1)
        if "unified" in self.folders:
            self._write("memory", "memory.max", memory)
            with contextlib.suppress(OSError):  # no swap
                self._write("memory", "memory.swap.max", 0)
            return
        files = ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes"]
        for file in [*files, *files]:  # the first must stay below the second: whichever way it goes, one order works
            with contextlib.suppress(OSError):
                self._write("memory", file, memory)
        if int((self._of("memory") / files[0]).read_text()) > memory + 4096:
            raise OSError("the memory limit was not taken")

    def starved(self) -> int:
        """How many processes the kernel has ended here so far because memory was over."""
        file = "memory.events" if "unified" in self.folders else "memory.oom_control"
        for line in (self._of("memory") / file).read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
        return 0

    def empty(self) -> None:
        """Kill whatever else is still inside and wait until it is gone. OSError if it does not go."""
        until = time.monotonic() + _WAIT
        while pids := self._inside():
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if time.monotonic() > until:
                raise OSError(f"processes {pids} of a run do not end")
            time.sleep(0.001)

    def remove(self) -> None:
        """Go back to where this process was, and take the folders away."""
        for kind, folder in self.folders.items():
            with contextlib.suppress(OSError):
                (self.homes[kind] / "cgroup.procs").write_text(str(os.getpid()))
                folder.rmdir()

    def _inside(self) -> list[int]:
        pids = {int(pid) for f in self.folders.values() for pid in (f / "cgroup.procs").read_text().split()}
        return sorted(pids - {os.getpid()})

    def _of(self, kind: str) -> Path:
        return self.folders.get("unified") or self.folders[kind]

    def _write(self, kind: str, file: str, value: int) -> None:
        (self._of(kind) / file).write_text(str(value))


def spare(pid: int, chance: int) -> None:
    """How likely the kernel is to end a process and its children when memory is over: -1000 never, 1000 first."""
    Path(f"/proc/{pid}/oom_score_adj").write_text(str(chance))


def _made(parent: Path, kind: str) -> Path:
    """A folder of this process, made; OSError if it lacks the controllers. Those of processes that are gone are
    removed."""
    for other in parent.glob("whet-*"):
        if not Path(f"/proc/{other.name.removeprefix('whet-')}").exists():
            with contextlib.suppress(OSError):
                other.rmdir()
    folder = parent / f"whet-{os.getpid()}"
    folder.mkdir(exist_ok=True)
    wanted = {"unified": ("memory.max", "pids.max"), "memory": ("memory.limit_in_bytes",), "pids": ("pids.max",)}[kind]
    for file in wanted:
        if not (folder / file).exists():
            folder.rmdir()
            raise OSError(f"{folder} has no {file}")
    return folder


def _places() -> list[dict[str, Path]]:
    """Where groups could be made: beside our own in version 2 (a group with processes cannot hand controllers down),
    below it, or below our own in both hierarchies of version 1."""
    homes, places = _homes(), []
    if "unified" in homes:
        here = homes["unified"]
        places += [{"unified": place} for place in (here.parent, here) if place.is_relative_to(_mounts()["unified"])]
    if {"memory", "pids"} <= homes.keys():
        places.append({kind: homes[kind] for kind in ("memory", "pids")})
    return places


def _homes() -> dict[str, Path]:
    """{"unified" or a controller of version 1: the group that this process is in}."""
    own: dict[str, str] = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, kinds, path = line.split(":", 2)
        own |= {kind or "unified": path.lstrip("/") for kind in kinds.split(",")}  # version 2 has no kind
    return {kind: where / own[kind] for kind, where in _mounts().items() if kind in own}


def _mounts() -> dict[str, Path]:
    """{"unified" or a controller of version 1: where it is mounted}."""
    found = {}
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, where, kind, options, *_ = line.split()
        if kind == "cgroup2":
            found["unified"] = Path(where)
        elif kind == "cgroup":
            found |= {name: Path(where) for name in options.split(",") if name in ("memory", "pids")}
    return found
