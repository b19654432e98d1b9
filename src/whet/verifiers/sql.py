"""SQL: whether a query gives the rows of the gold query, on every database that the problem brings."""

from __future__ import annotations

import json
import os
from functools import lru_cache
from typing import Any, NamedTuple, get_args

from whet.verifiers import sql_duckdb, sql_sqlite
from whet.verifiers.gold import BadGold
from whet.verifiers.sql_database import NotRun, Row, TooLarge, TooSlow
from whet.verifiers.sql_rows import Rule, same
from whet.verifiers.sql_tokens import ordered

LONGEST = 10_000  # our choice: characters of a query
ENGINES = {"sqlite": sql_sqlite, "duckdb": sql_duckdb}
RULES = (*get_args(Rule), "runs")


class _Gold(NamedTuple):
    query: str
    engine: str
    databases: tuple[str, ...]  # each as JSON text


def prepare(golds: list[str]) -> None:
    """Bound the memory of SQLite in this process, and open the databases, so that no answer's deadline pays for it."""
    sql_sqlite.bound_memory()
    for gold in set(golds):
        try:
            found = _read(gold)
            for database in found.databases:
                _opened(found.engine, database, _stamp(database))
        except (BadGold, ImportError):  # it is told where an answer asks
            continue


def verify(
    answer: str,
    gold: str,
    rule: str = "set",
    tolerance: float = 1e-9,
    seconds: float = 1.0,
    rows: int = 10_000,
    empty: bool = True,
) -> str:
    """Says "right" iff rows(answer) = rows(gold query) on every database of the gold, by one of the rules

        "set"       the same set of rows: neither order nor repetition counts (the execution accuracy of BIRD, Li et
                    al. 2023, arXiv 2305.03111)
        "multiset"  the same rows, each as often
        "strict"    "multiset", and in the same order where the gold query has an ORDER BY of its own, outside of
                    parentheses; rows that it leaves equal count in the order that they come in
        "runs"      the answer runs to its end, whatever it gives: the gold query is not looked at.

    `gold` is {"sql": query, "databases": [...], "engine": "sqlite" or "duckdb"} as JSON, SQLite where no engine is
    named. A database is {"script": SQL text}, {"tables": {name: {"columns": {name: type}, "rows": [[cell, ...]]}}}, or
    {"path": file}, which is opened for reading only. The first two are made in memory. Several databases of one schema
    with other rows catch queries that are right by chance, a constant above all.

    Names of columns do not count, their order does. NULL equals NULL, 1 equals 1.0, '1' is not 1. A number equals
    another, at least one of them no whole number, within `tolerance` * max(1, |a|, |b|).

    "wrong": it ran and gave other rows, or more than `rows` of them. "timed out": more than `seconds` on one database,
    of processor time with SQLite, of the clock with DuckDB. "unparseable": it did not run: it is not one query in the
    engine's language for tables and columns that are there, it would do more than read, asks for chance (RANDOM) or a
    file, or needs too much memory. So right and wrong together are the executable rate. Fences of Markdown (```sql)
    around a query are taken off.

    Raises BadGold for another gold, a gold query that does not run within the limits or, where `empty` is False, has no
    row on any database, and for settings that are none. ImportError where the gold asks for DuckDB without the
    extra `sql`; MemoryError for a query that takes most of the memory that a worker may have.
    """
    _check(rule, tolerance, seconds, rows)
    found = _read(gold)
    databases = [(database, _stamp(database)) for database in found.databases]
    wanted: list[tuple[Row, ...]] = []
    if rule != "runs":
        wanted = [_expected(found.engine, *database, found.query, seconds, rows) for database in databases]
        if not empty and not any(wanted):
            raise BadGold(f"the gold query has no row on any database, so any empty answer fits: {found.query[:200]!r}")
    query = _unfenced(answer)
    if not query or len(query) > LONGEST:
        return "unparseable"
    for k, database in enumerate(databases):
        try:
            given = ENGINES[found.engine].rows(_opened(found.engine, *database), query, seconds, rows)
        except TooSlow:
            return "timed out"
        except TooLarge:
            return "wrong"
        except NotRun:
            return "unparseable"
        if wanted and not same(given, wanted[k], rule, ordered(found.query), tolerance):
            return "wrong"
    return "right"


def _check(rule: str, tolerance: float, seconds: float, rows: int) -> None:
    """A wrong setting is no fault of the answer: BadGold, which counts as "failed"."""
    if rule not in RULES:
        raise BadGold(f"sql.rule must be one of {', '.join(RULES)}, got {rule!r}")
    if not (0 <= tolerance < 1 and seconds > 0 and rows >= 1):
        raise BadGold(
            "sql needs a tolerance of 0 to 1, more than 0 seconds and at least 1 row, "
            f"got {tolerance}, {seconds} and {rows}"
        )


@lru_cache(maxsize=512)
def _read(gold: str) -> _Gold:
    try:
        parts = json.loads(gold)
        query, engine, databases = parts["sql"], parts.get("engine", "sqlite"), parts["databases"]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise BadGold(
            f'sql needs a gold answer like {{"sql": "SELECT ...", "databases": [{{"script": "..."}}]}}, '
            f"got {gold[:80]!r}"
        ) from error
    if not isinstance(query, str) or not isinstance(engine, str) or engine not in ENGINES:
        raise BadGold(f"a gold query is text for one of {', '.join(ENGINES)}, got {query!r:.80} for {engine!r:.80}")
    if not isinstance(databases, list) or not databases or not all(_is_database(one) for one in databases):
        raise BadGold(f'databases are a list of {{"script" or "tables" or "path": ...}}, got {databases!r:.80}')
    return _Gold(query, engine, tuple(json.dumps(one) for one in databases))


def _is_database(one: Any) -> bool:
    return isinstance(one, dict) and len(one) == 1 and bool({"script", "tables", "path"} & one.keys())


def _stamp(database: str) -> tuple[int, int]:
    """Changes when a file does."""
    if not database.startswith('{"path"'):
        return 0, 0
    path = json.loads(database)["path"]
    try:
        seen = os.stat(path)
    except (OSError, TypeError, ValueError) as error:
        raise BadGold(f"there is no database {path!r:.200}: {error}") from error
    return seen.st_mtime_ns, seen.st_size


def _opened(engine: str, database: str, stamp: tuple[int, int]) -> Any:
    try:
        return _KEPT[engine](database, stamp)
    except ImportError:
        raise
    except Exception as error:  # whatever an engine says of what we gave it, the fault is ours
        raise BadGold(f"{engine} can not make the database {database[:80]}: {error}") from error


def _kept(engine: Any) -> Any:
    """Opens a database once, as long as not too many others have been asked for since."""
    return lru_cache(maxsize=engine.KEPT)(lambda database, stamp: engine.opened(json.loads(database)))


_KEPT = {name: _kept(engine) for name, engine in ENGINES.items()}


@lru_cache(maxsize=512)
def _expected(
    engine: str, database: str, stamp: tuple[int, int], query: str, seconds: float, rows: int
) -> tuple[Row, ...]:
    """The gold query's rows, once per database and query."""
    try:
        return tuple(ENGINES[engine].rows(_opened(engine, database, stamp), query, seconds, rows))
    except NotRun as error:
        raise BadGold(f"the gold query does not run on {database[:80]}: {query[:200]!r}: {error}") from error


def _unfenced(answer: str) -> str:
    """Without blank space around it, and without the fences of Markdown."""
    text = answer.strip()
    if text.startswith("```"):
        first, _, rest = text.removesuffix("```").partition("\n")
        text = rest if first[3:].strip().casefold() in ("", "sql", "sqlite", "duckdb") else first[3:] + rest
    return text.strip()
