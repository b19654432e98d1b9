"""A run's log, shown in TensorBoard, W&B or trackio as well.

`metrics.jsonl` is what a run knows; a tracker is a mirror of it. So what a tracker holds can be thrown away and made
again (`follow`), and a run that is resumed shows every step once: the mirror goes by the lines of the file.
"""

from __future__ import annotations

import difflib
import importlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, Protocol

from whet import trackers
from whet.files import read_json

LOG = "metrics.jsonl"


class Tracker(Protocol):
    """One mirror of one run. Any method may raise whatever its library raises."""

    def start(self, folder: Path, told: Mapping[str, Any]) -> int:
        """Open it for the run in `folder`, of which `told` is the `recipe.json`; how many steps it holds already."""
        ...

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Step `step` of the run, counted over all its stages from 0."""
        ...

    def finish(self, results: Mapping[str, float]) -> None:
        """The run is over; `results` are its evaluations ("results/after/pass@1"), none if it was stopped."""
        ...


class Screen(Protocol):
    """See `whet.run.Screen`."""

    def begin(self, title: str, steps: int, done: int) -> None: ...
    def advance(self, done: int, metrics: Mapping[str, float]) -> None: ...
    def end(self) -> None: ...
    def warn(self, text: str) -> None: ...
    def alert(self, text: str) -> None: ...


def names() -> list[str]:
    """Every tracker there is: a file of this folder each."""
    return sorted(m.name for m in iter_modules(trackers.__path__) if m.name != "mirror")


def named(word: str) -> Tracker:
    """The tracker "tensorboard", "wandb", "wandb:online" or "trackio", not yet started.

    ValueError for an unknown one or one that has no such mode, ImportError for one that is not installed.
    """
    name, _, mode = word.partition(":")
    if name not in names():
        near = difflib.get_close_matches(name, names(), n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names())}"
        raise ValueError(f"there is no tracker {word!r}; {hint}")
    return importlib.import_module(f"whet.trackers.{name}").Mirror(mode)


class Mirrored:
    """A screen that also hands every new line of the run's log to trackers.

    A tracker that fails is left out from then on, with one warning: it never stops a run. `finish` closes the others.
    """

    def __init__(self, screen: Screen, folder: Path, words: Sequence[str]) -> None:
        self.screen = screen
        self.folder = folder
        self._trackers = {word: named(word) for word in words}
        self._held: dict[str, int] = {}  # steps that each tracker that has started holds
        self.failed: list[str] = []
        self._log = Log(folder / LOG)

    def begin(self, title: str, steps: int, done: int) -> None:
        self.screen.begin(title, steps, done)

    def advance(self, done: int, metrics: Mapping[str, float]) -> None:
        self.screen.advance(done, metrics)
        self.follow()

    def end(self) -> None:
        self.screen.end()

    def warn(self, text: str) -> None:
        self.screen.warn(text)

    def alert(self, text: str) -> None:
        self.screen.alert(text)

    def follow(self) -> None:
        """Hand over the lines that are new. Those of a warm-up are not this run's, and are not in its log."""
        for step, line in self._log.new():
            metrics = scalars(line)
            for word, tracker in list(self._trackers.items()):
                if word not in self._held:
                    told = read_json(self.folder / "recipe.json") if (self.folder / "recipe.json").exists() else {}
                    self._try(word, lambda tracker=tracker, told=told: tracker.start(self.folder, told))
                if step >= self._held.get(word, math.inf):
                    self._try(word, lambda tracker=tracker: tracker.log(step, metrics))  # noqa: B023

    def finish(self) -> None:
        """Hand over what is left, and close the trackers; one that never had a line was never opened."""
        self.follow()
        for word, tracker in list(self._trackers.items()):
            if word in self._held:
                self._try(word, lambda tracker=tracker: tracker.finish(results(self.folder)))
        self._trackers = {}

    def _try(self, word: str, call: Callable[[], int | None]) -> None:
        """The one place where a tracker's code runs: it may raise anything."""
        try:
            held = call()
        except Exception as error:
            self.failed.append(word)
            self._trackers.pop(word)
            self._held.pop(word, None)
            told = " ".join(str(error).split()) or type(error).__name__
            self.screen.warn(f"the tracker {word} failed and is left out from here on; the run goes on: {told}")
        else:
            if held is not None:
                self._held[word] = held


class Log:
    """Lines of a file that grows, each handed out once. A resumed run writes the file anew up to its checkpoint and
    then the same steps again: lines are known by their number, not by their place."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._given = 0
        self._inode, self._offset, self._number = -1, 0, 0

    def new(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """(number from 0, line) of the lines that were not handed out yet."""
        if not self.path.exists():
            return
        with open(self.path, "rb") as file:
            inode, size = self._stat()
            if inode != self._inode or size < self._offset:
                self._inode, self._offset, self._number = inode, 0, 0
            file.seek(self._offset)
            for text in file:
                if not text.endswith(b"\n"):
                    return  # half-written
                self._offset, number = self._offset + len(text), self._number
                self._number += 1
                line = _line(text)
                if number >= self._given:
                    self._given = number + 1
                    yield number, line

    def _stat(self) -> tuple[int, int]:
        found = self.path.stat()
        return found.st_ino, found.st_size


def scalars(line: Mapping[str, Any]) -> dict[str, float]:
    """The finite numbers of a step under the stage's name, "rl/reward/mean"."""
    stage = line.get("stage", "run")
    return {
        f"{stage}/{name}": float(value)
        for name, value in line.items()
        if name not in ("number", "step") and _is_number(value)
    }


def results(folder: Path) -> dict[str, float]:
    """{"results/before/pass@1": value} of a run that is done, else {}."""
    report = read_json(folder / "report.json") if (folder / "report.json").exists() else {}
    return {
        f"results/{side}/{name}": float(estimate["value"])
        for side in ("before", "after")
        for name, estimate in (report.get(side) or {}).items()
        if _is_number(estimate.get("value"))
    }


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _line(text: bytes) -> dict[str, Any]:
    """A torn line has no metrics, but keeps its number."""
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
