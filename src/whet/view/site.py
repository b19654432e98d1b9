"""What the pages show: the runs, the results, and an index of each run that somebody looked into."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from whet.catalogue import rows
from whet.files import read_json
from whet.view.folders import Runs
from whet.view.index import Index

_OPEN = 8  # our choice: indexes that are kept


@dataclass(frozen=True)
class Page:
    """A page before it is HTML. `part`: the template of what a live page asks for again."""

    template: str
    title: str
    values: Mapping[str, Any] = field(default_factory=dict)
    part: str = ""


class Site:
    """Everything a page may ask for. `close` removes the temporary files."""

    def __init__(self, roots: Sequence[Path], results: Path | None = None) -> None:
        self.runs = Runs(roots)
        self.results = results
        self._indexes: OrderedDict[str, Index] = OrderedDict()
        self._lock = threading.Lock()

    def index(self, name: str, seconds: float = 0.25) -> Index:
        """The attempts of a run, as far as they are read after about `seconds` more."""
        folder = self.runs.folder(name)
        with self._lock:
            if name not in self._indexes:
                self._indexes[name] = Index(folder)
            self._indexes.move_to_end(name)
            index = self._indexes[name]
            old = self._indexes.popitem(last=False)[1] if len(self._indexes) > _OPEN else None
        if old is not None:
            old.close()
        index.refresh(seconds)
        return index

    def claims(self, slugs: set[str]) -> list[dict[str, Any]]:
        """What `whet reproduce` found of these recipes: {"recipe", "paper", "effect", "verdict", "date", "findings"}"""
        found = []
        for file in sorted(self.results.glob("*.json")) if self.results else ():
            try:
                held = read_json(file)
                if held.get("recipe") in slugs and held.get("runs"):
                    told = dict(zip(("recipe", "paper", "effect", "verdict", "date"), rows([held])[0], strict=True))
                    found.append({**told, "findings": held["runs"][-1]["findings"]})
            except (ValueError, OSError, AttributeError, KeyError, TypeError, RecursionError):
                continue  # no result of ours
        return found

    def close(self) -> None:
        for index in self._indexes.values():
            index.close()
