"""Queries on SQLite that nobody trusts: they read, for a bounded time, and nothing else."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from whet.verifiers.sql_database import LARGEST, REFUSED, NotRun, Row, TooLarge, TooSlow, statements, weight

KEPT = 128  # our choice: databases held open
HEAP = 512 * 1024**2  # our choice: bytes that SQLite may hold in a worker, its databases with their caches included
LOOK = 500  # our choice: instructions of SQLite's machine between two looks at the clock
# Our choice. LENGTH: bytes of one text or row. COLUMN: columns of a result. COMPOUND_SELECT: parts of a UNION.
LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: 1_000_000,
    sqlite3.SQLITE_LIMIT_COLUMN: 200,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 200,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 50,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 100,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
}
_READS = (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE)


def bound_memory() -> None:
    """At most `HEAP` bytes for all databases of this process; it can not be taken back, so it is for workers."""
    connection = sqlite3.connect(":memory:")
    connection.execute(f"PRAGMA hard_heap_limit={HEAP}")
    connection.close()


def opened(database: Mapping[str, Any]) -> sqlite3.Connection:
    """A database that can only be read from now on: {"script"}, {"tables"} or {"path"}, see `sql.verify`. Raises what
    SQLite or a missing part raises."""
    where = f"{Path(database['path']).absolute().as_uri()}?mode=ro" if "path" in database else ":memory:"
    connection = sqlite3.connect(where, uri=True, isolation_level=None, check_same_thread=False, cached_statements=0)
    if "script" in database:
        connection.executescript(database["script"])
    for statement, cells in statements(database.get("tables", {})):
        connection.execute(statement, cells)
    for pragma in ("query_only=ON", "trusted_schema=OFF", "temp_store=MEMORY"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("SELECT count(*) FROM sqlite_master").fetchall()  # a file that is no database is found out here
    for limit, value in LIMITS.items():
        connection.setlimit(limit, value)
    connection.text_factory = _text
    connection.set_authorizer(_allowed)
    return connection


def rows(connection: sqlite3.Connection, query: str, seconds: float, most: int) -> list[Row]:
    """The rows of one query. `seconds` are of this thread's processor time, so that a busy machine changes no verdict.
    Raises TooSlow, TooLarge, or NotRun for all else that may be wrong with a query."""
    end = time.thread_time() + seconds
    connection.set_progress_handler(lambda: time.thread_time() > end, LOOK)
    found: list[Row] = []
    held = 0
    cursor = connection.cursor()
    try:
        cursor.execute(query)
        if cursor.description is None:
            raise NotRun("it is no query")
        for row in cursor:
            found.append(row)
            held += weight(row)
            if len(found) > most or held > LARGEST:
                raise TooLarge(f"more than {most} rows or {LARGEST} characters")
    except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError, MemoryError) as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT:
            raise TooSlow(f"more than {seconds:g} s") from error
        raise NotRun(f"{type(error).__name__}: {error}") from error
    finally:
        cursor.close()
        connection.set_progress_handler(None, 0)
    return found


def _allowed(action: int, _: Any, name: str | None, *__: Any) -> int:
    """Only reading: no ATTACH, no PRAGMA, no transaction, no table made or changed, and not every function."""
    if action == sqlite3.SQLITE_FUNCTION:
        return sqlite3.SQLITE_DENY if (name or "").lower() in REFUSED else sqlite3.SQLITE_OK
    return sqlite3.SQLITE_OK if action in _READS else sqlite3.SQLITE_DENY


def _text(raw: bytes) -> str:
    """Bytes that are no UTF-8 stay what they are, and are no error."""
    return raw.decode("utf-8", "surrogateescape")
