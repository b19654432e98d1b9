"""What a run played, to be searched: one line per attempt in a DuckDB table, filled from `rollouts/*.parquet`.

Files are read newest first and a few at a time, so the newest step is there at once, however many there are; a file
that is new, changed or gone (a run that goes on, or was cut back) is noticed. The table lies in a temporary file and
holds no token, and of a text its first `TEXT` characters. Files come in through pyarrow, which does not mind text that
is no UTF-8; DuckDB itself may open no file.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as parquet

from whet.view.sound import sound

TEXT = 20_000  # our choice: characters of an attempt that are searched
_AT_ONCE = 16  # files
KEY = {"stage": "INTEGER", "step": "INTEGER", "slot": "INTEGER", "group": "VARCHAR", "attempt": "INTEGER"}
FIXED = {
    "file": "VARCHAR",
    **KEY,
    **dict.fromkeys(("problem", "answer", "stop", "error"), "VARCHAR"),
    "kept": "BOOLEAN",
    "reward": "DOUBLE",
    "length": "INTEGER",
    "version": "INTEGER",
    "rows": "INTEGER",
    "advantage": "DOUBLE",
    "prompt": "VARCHAR",
    "text": "VARCHAR",
}
_NAMED = ("term/", "outcome/", "seconds/")  # columns of which a run has some of its own
_READ = (*(c for c in FIXED if c not in ("file", "length", "version", "rows", "advantage")), "row")


def quoted(name: str) -> str:
    """A column's name in SQL, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


class Index:
    """The attempts of one run. `refresh` reads what is new; `ask` runs a query of ours with values bound to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "rollouts"
        self._place = tempfile.TemporaryDirectory(prefix="whet-view-")
        self._db = duckdb.connect(str(Path(self._place.name) / "attempts.duckdb"))
        self._db.execute("SET memory_limit = '1GB'; SET threads = 2; SET enable_external_access = false")
        spec = ", ".join(f"{quoted(name)} {kind}" for name, kind in FIXED.items())
        self._db.execute(f"CREATE TABLE attempts ({spec})")
        self._db.execute("SET lock_configuration = true")
        self._lock = threading.RLock()
        self.columns: dict[str, str] = dict(FIXED)
        self.read: dict[str, tuple[int, int]] = {}  # file -> (time, size) as it was read
        self.unreadable: dict[str, str] = {}
        self.missing: set[str] = set()  # columns that a file of today has and one of these had not
        self.waiting = 0  # files that are still to be read
        self.changes = 0  # counts what was read, so that an answer can be told from an older one

    @property
    def terms(self) -> list[str]:
        return sorted(name.removeprefix("term/") for name in self.columns if name.startswith("term/"))

    @property
    def timed(self) -> list[str]:
        return sorted(name.removeprefix("seconds/") for name in self.columns if name.startswith("seconds/"))

    @property
    def verified(self) -> list[str]:
        return sorted(name.removeprefix("outcome/") for name in self.columns if name.startswith("outcome/"))

    def refresh(self, seconds: float = 0.25) -> None:
        """Read what is new for about so long; at least the newest few files. Others wait (`waiting`)."""
        with self._lock:
            until = time.monotonic() + seconds
            now = self._listed()
            changed = [name for name, stamp in self.read.items() if now.get(name) != stamp]
            if changed:
                self._db.execute("DELETE FROM attempts WHERE file IN (SELECT unnest(?))", [changed])
                self.changes += 1
                for name in changed:
                    del self.read[name]
                    self.unreadable.pop(name, None)
            left = sorted((name for name in now if name not in self.read), reverse=True)
            while left:
                # the newest alone first: a page waits for it
                some, left = (left[:1], left[1:]) if not self.read else (left[:_AT_ONCE], left[_AT_ONCE:])
                self._add(some, now)
                if time.monotonic() > until:
                    break
            self.waiting = len(left)

    def ask(self, sql: str, values: Sequence[Any] = ()) -> list[dict[str, Any]]:
        with self._lock:
            answer = self._db.execute(sql, list(values))
            names = [column[0] for column in answer.description or ()]
            return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]

    def file_of(self, stage: int, step: int) -> Path | None:
        """The file that holds a step, of those that are there."""
        found = self.ask("SELECT any_value(file) AS file FROM attempts WHERE stage = ? AND step = ?", [stage, step])
        return self.folder / found[0]["file"] if found and found[0]["file"] else None

    def scale(self) -> tuple[float, float]:
        """(least, largest) reward of the run as far as it is read: what the colours of rewards are relative to."""
        (row,) = self.ask("SELECT min(reward) AS low, max(reward) AS high FROM attempts")
        return (row["low"] or 0.0, row["high"] if row["high"] is not None else 1.0)

    def close(self) -> None:
        with self._lock:
            self._db.close()
            self._place.cleanup()

    def _listed(self) -> dict[str, tuple[int, int]]:
        out = {}
        for file in self.folder.glob("*.parquet"):
            try:
                stat = file.stat()
            except OSError:
                continue
            if not file.name.startswith("."):
                out[file.name] = (stat.st_mtime_ns, stat.st_size)
        return out

    def _add(self, names: Sequence[str], now: dict[str, tuple[int, int]]) -> None:
        tables = []
        for name in names:
            self.read[name] = now[name]
            try:
                tables.append(self._table(self.folder / name, name))
            except (pa.ArrowException, OSError, ValueError, KeyError) as error:
                self.unreadable[name] = str(error).split("\n")[0][:200]
        if not tables:
            return
        rows = pa.concat_tables(tables, promote_options="default")
        for column in rows.column_names:
            if column not in self.columns and column.startswith(_NAMED):
                kind = "VARCHAR" if column.startswith("outcome/") else "DOUBLE"
                self._db.execute(f"ALTER TABLE attempts ADD COLUMN {quoted(column)} {kind}")
                self.columns[column] = kind
        self._db.register("read_rows", rows)
        try:
            self._db.execute(f"INSERT INTO attempts BY NAME {_by_attempt(rows.column_names)}")
        finally:
            self._db.unregister("read_rows")
        self.changes += 1

    def _table(self, path: Path, name: str) -> pa.Table:
        """The columns that are searched, and per row: sampled tokens, the newest weights' version, the advantage of its
        last token that has one."""
        file = parquet.ParquetFile(path)
        there = file.schema_arrow.names
        self.missing |= {c for c in (*_READ, "sampled", "turns", "logprobs", "learned/logprobs") if c not in there}
        wanted = [c for c in there if c in _READ or c.startswith(_NAMED)]
        lists = [c for c in ("sampled", "versions", "advantages") if c in there]
        table = file.read([*wanted, *lists], use_threads=False)
        out = {c: _typed(c, sound(table[c])) for c in wanted}
        count = table.num_rows
        for c in KEY:
            if c not in out:  # an older format: a place of its own for every row
                empty = {"group": pa.array([""] * count), "attempt": pa.array(range(count), pa.int32())}
                out[c] = empty.get(c, pa.array(np.zeros(count, np.int32)))
        if "sampled" in lists:
            out["length"] = _sums(table["sampled"])
        if "versions" in lists:
            out["version"] = _largest(table["versions"])
        if "advantages" in lists:
            out["advantage"] = _last(table["advantages"])
        return pa.table({"file": pa.array([name] * count), **out})


def _typed(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """As the table has it; a file that has something else there is refused by name (ArrowInvalid)."""
    kinds = {"INTEGER": pa.int32(), "VARCHAR": pa.string(), "DOUBLE": pa.float64(), "BOOLEAN": pa.bool_()}
    usual = "DOUBLE" if name.startswith(("term/", "seconds/")) else "INTEGER" if name == "row" else "VARCHAR"
    kind = kinds[FIXED.get(name, usual)]
    column = column.cast(kind)
    if name in ("text", "prompt"):
        return pc.utf8_slice_codeunits(column, 0, TEXT)  # type: ignore[attr-defined]
    if pa.types.is_floating(kind):  # no verdict is no number
        return pc.if_else(pc.is_nan(column), None, column)  # type: ignore[attr-defined]
    return column


def _parts(column: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(values of all lists end to end, the list each belongs to, how long each is)."""
    whole = column.combine_chunks()
    lengths = pc.fill_null(pc.list_value_length(whole), 0).to_numpy(zero_copy_only=False)  # type: ignore[attr-defined]
    values = whole.flatten().to_numpy(zero_copy_only=False)
    return values, np.repeat(np.arange(len(lengths)), lengths), lengths


def _sums(column: pa.ChunkedArray) -> pa.Array:
    values, owner, lengths = _parts(column)
    return pa.array(np.bincount(owner, weights=values.astype(float), minlength=len(lengths)).astype(np.int32))


def _largest(column: pa.ChunkedArray) -> pa.Array:
    values, owner, lengths = _parts(column)
    out = np.full(len(lengths), -1, np.int32)
    np.maximum.at(out, owner, values.astype(np.int32))
    return pa.array(out, mask=out < 0)


def _last(column: pa.ChunkedArray) -> pa.Array:
    """The last number of each list that is not 0, else 0; null where there is no list."""
    values, owner, lengths = _parts(column)
    out = np.zeros(len(lengths))
    some = values != 0
    out[owner[some]] = values[some]
    return pa.array(out, mask=column.combine_chunks().is_null().to_numpy(zero_copy_only=False))


def _by_attempt(columns: Sequence[str]) -> str:
    """Rows laid together to attempts; where each has one row, as they are."""
    keys = [quoted(c) for c in ("file", *KEY)]
    order = ' ORDER BY "row"' if "row" in columns else ""
    picked = []
    for name in columns:
        if name in ("file", *KEY, "row"):
            continue
        q = quoted(name)
        if name == "text":
            picked.append(f"string_agg({q}, chr(10){order}) AS {q}")
        elif name == "length":
            picked.append(f"sum({q}) AS {q}")
        elif name == "version":
            picked.append(f"max({q}) AS {q}")
        elif name == "advantage":
            picked.append(f"last({q}{order}) AS {q}")
        else:
            picked.append(f"first({q}{order}) AS {q}")
    return f"SELECT {', '.join([*keys, *picked])}, count(*) AS rows FROM read_rows GROUP BY {', '.join(keys)}"
