"""Queries on DuckDB that nobody trusts (extra "sql"): they read, for a bounded time, and nothing else."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Mapping
from itertools import accumulate, pairwise
from typing import Any

from whet.verifiers.sql_database import LARGEST, REFUSED, NotRun, Row, TooLarge, TooSlow, statements, weight
from whet.verifiers.sql_tokens import tokens

KEPT = 32  # our choice: databases held open; each takes 4 MB
FETCH = 500  # our choice: rows taken at a time
DEEPEST = 50  # our choice: brackets inside one another; lists 150 deep end the process
CROWDED = 0.6  # our choice: the share of the process's address space that may be taken
SETTINGS = {  # our choice
    "threads": "1",
    "async_threads": "0",  # else eight for each database
    "memory_limit": "256MB",
    "max_temp_directory_size": "0KiB",
    "max_expression_depth": "200",
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "python_enable_replacements": "false",
}


def opened(database: Mapping[str, Any]) -> Any:
    """A database whose settings can not be changed any more: {"script"}, {"tables"} or {"path"}, see `sql.verify`.
    ImportError without the extra; else whatever DuckDB or a missing part raises."""
    duckdb = _duckdb()
    path = str(database.get("path", ":memory:"))
    connection = duckdb.connect(path, read_only="path" in database, config=SETTINGS)
    if "script" in database:
        connection.execute(database["script"])
    for statement, cells in statements(database.get("tables", {})):
        connection.execute(statement, cells)
    connection.execute("SET lock_configuration=true")
    return connection


def rows(connection: Any, query: str, seconds: float, most: int) -> list[Row]:
    """The rows of one query, in a transaction that can only read; `seconds` are of the clock. A single call of a
    function is not interrupted. Raises TooSlow, TooLarge, or NotRun for all else that may be wrong with a query;
    MemoryError if little is left of the address space that the process may have, for DuckDB gives none back."""
    try:
        return _run(connection, query, seconds, most)
    finally:
        if _crowded():
            raise MemoryError("the query has taken most of the memory")


def _run(connection: Any, query: str, seconds: float, most: int) -> list[Row]:
    duckdb = _duckdb()
    parts = tokens(query)
    if refused := REFUSED & {name for name, sign in pairwise(parts) if sign == "("}:
        raise NotRun(f"{', '.join(sorted(refused))} is not allowed")
    if max(accumulate((part in "([{") - (part in ")]}") for part in parts if part), default=0) > DEEPEST:
        raise NotRun(f"more than {DEEPEST} brackets inside one another")
    timer = threading.Timer(seconds, connection.interrupt)
    timer.start()
    try:
        connection.execute("BEGIN TRANSACTION READ ONLY")
        said = connection.extract_statements(query)
        if len(said) != 1 or said[0].type != duckdb.StatementType.SELECT:
            raise NotRun("it is not one query")
        return _fetched(connection.execute(said[0]), most)
    except duckdb.InterruptException as error:
        raise TooSlow(f"more than {seconds:g} s") from error
    except (duckdb.Error, ValueError, TypeError, OverflowError, MemoryError, RuntimeError) as error:
        raise NotRun(f"{type(error).__name__}: {error}") from error
    finally:
        timer.cancel()
        timer.join()
        with contextlib.suppress(duckdb.Error):
            connection.execute("ROLLBACK")


def _fetched(result: Any, most: int) -> list[Row]:
    found: list[Row] = []
    held = 0
    while some := result.fetchmany(FETCH):
        found += some
        held += sum(weight(row) for row in some)
        if len(found) > most or held > LARGEST:
            raise TooLarge(f"more than {most} rows or {LARGEST} characters")
    return found


def _crowded() -> bool:
    if sys.platform != "linux":
        return False
    import resource

    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    with open("/proc/self/statm", "rb") as taken:
        pages = int(taken.read().split()[0])
    return limit != resource.RLIM_INFINITY and pages * resource.getpagesize() > CROWDED * limit


def _duckdb() -> Any:
    try:
        import duckdb
    except ImportError as error:
        raise ImportError('duckdb is not installed; run: pip install "whet[sql]"') from error
    return duckdb
