"""Which runs there are, and what each says of itself. Pages name a run by its key in a list that is made here, so no
part of a request ever becomes part of a path."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from whet.files import read_json, read_lines
from whet.metrics.plots import is_number

DEPTH, MOST = 6, 5000  # our choice: how deep runs are looked for, and how many are shown
_QUIET = 30.0  # seconds without a new step after which a run without a report has stopped, where locks do not tell

Line = Mapping[str, Any]


class Missing(Exception):
    """There is no such run, step, attempt or page."""


@dataclass(frozen=True)
class Told:
    """One run as its files tell it. `state`: "done", "running", "stopped" or "empty"."""

    name: str
    folder: Path
    recipe: Mapping[str, Any] = field(default_factory=dict)
    env: Mapping[str, Any] = field(default_factory=dict)
    report: Mapping[str, Any] = field(default_factory=dict)
    lines: Sequence[Line] = ()
    state: str = "empty"
    troubles: Sequence[str] = ()  # files that hold something else than they should

    @property
    def order(self) -> Mapping[str, Any]:
        order = self.recipe.get("order")
        return order if isinstance(order, dict) else {}

    @property
    def slug(self) -> str:
        return Path(str(self.order.get("recipe") or "")).stem or self.name.rpartition("/")[0] or self.name

    @property
    def arm(self) -> str:
        return str(self.recipe.get("arm") or self.order.get("arm") or "")

    @property
    def seed(self) -> str:
        return str(self.recipe.get("seed", self.order.get("seed", "")))

    @property
    def same_arm(self) -> str:
        """What runs share that differ in their seed only."""
        head, found, tail = self.name.rpartition("-seed")
        return head if found and tail.isdecimal() else self.name

    def last(self, metric: str) -> float | None:
        return next((float(line[metric]) for line in reversed(self.lines) if is_number(line.get(metric))), None)


class Runs:
    """The runs below some folders; a folder that is a run itself counts, too."""

    def __init__(self, roots: Sequence[Path]) -> None:
        self.roots = list(roots)
        self._kept: dict[Path, tuple[tuple[Any, ...], Any]] = {}
        self._found: dict[str, Path] = {}
        self._when = -1e9

    def all(self) -> dict[str, Path]:
        """{key: folder}, looked up again after a second."""
        if time.monotonic() - self._when > 1:
            found: dict[str, Path] = {}
            for root in self.roots:
                for folder in _below(root):
                    key = _key(root, folder) if folder != root else root.resolve().name
                    while key in found and found[key] != folder:
                        key += "'"
                    found[key] = folder
                    if len(found) >= MOST:
                        break
            self._found, self._when = dict(sorted(found.items())), time.monotonic()
        return self._found

    def folder(self, name: str) -> Path:
        found = self.all().get(name)
        if found is None:
            raise Missing(f"there is no run {name!r} among these")
        return found

    def told(self, name: str) -> Told:
        folder, troubles = self.folder(name), []

        def read(file: str) -> dict[str, Any]:
            try:
                value = self._read(folder / file, read_json) if (folder / file).exists() else {}
            except (ValueError, OSError, RecursionError):
                troubles.append(file)
                return {}
            return value if isinstance(value, dict) else {}

        try:
            lines = self._read(folder / "metrics.jsonl", _lines)
        except (OSError, RecursionError):
            lines = []
            troubles.append("metrics.jsonl")
        recipe, env, report = read("recipe.json"), read("env.json"), read("report.json")
        done = (folder / "report.json").exists() and "report.json" not in troubles
        state = "done" if done else "running" if _held(folder) else "stopped" if lines else "empty"
        return Told(name, folder, recipe, env, report, lines, state, tuple(troubles))

    def _read(self, file: Path, reader: Any) -> Any:
        """What is in a file, read again only when it has changed."""
        try:
            stat = file.stat()
        except OSError:
            return reader(file)
        stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        if self._kept.get(file, (None,))[0] != stamp:
            self._kept[file] = (stamp, reader(file))
        return self._kept[file][1]


def _lines(file: Path) -> list[Line]:
    return [line for line in read_lines(file) if isinstance(line, dict)]


def is_run(folder: Path) -> bool:
    return any((folder / name).exists() for name in ("recipe.json", "metrics.jsonl", "rollouts"))


def _below(root: Path, depth: int = 0) -> Iterator[Path]:
    if is_run(root):
        yield root
        return
    if depth == DEPTH:
        return
    try:
        inside = sorted(e.name for e in os.scandir(root) if e.is_dir(follow_symlinks=False) and e.name[0] != ".")
    except OSError:
        return
    for name in inside:
        yield from _below(root / name, depth + 1)


def _key(root: Path, folder: Path) -> str:
    """A name that can stand in an address, whatever bytes the file system has."""
    return folder.relative_to(root).as_posix().encode("utf-8", "replace").decode()


def _held(folder: Path) -> bool:
    """Whether a process works in a folder: by the system's list of locks, which disturbs nobody; else by its log."""
    try:
        number = str(folder.stat().st_ino)
        with open("/proc/locks", encoding="ascii", errors="replace") as locks:
            if any(
                words[1] == "FLOCK" and words[5].endswith(f":{number}")
                for line in locks
                if len(words := line.split()) > 5
            ):
                return True
    except OSError:
        pass
    newest = max(
        (f.stat().st_mtime for f in (folder / "metrics.jsonl", folder / "env.json") if f.exists()), default=0.0
    )
    return time.time() - newest < _QUIET
