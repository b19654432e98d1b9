"""What the engines of SQL share: why a query gave no rows, and how rows become a database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Row = tuple[Any, ...]

LARGEST = 10_000_000  # our choice: characters and bytes in all texts of a result
CHUNK = 100  # our choice: rows written by one statement

# Functions whose value depends on chance or on the process, or that reach outside of the data.
REFUSED = frozenset(
    [
        *("changes", "current_connection_id", "fts3_tokenizer", "gen_random_uuid", "getenv", "getvariable"),
        *("last_insert_rowid", "load_extension", "nextval", "currval", "random", "randomblob", "setseed"),
        *("total_changes", "txid_current", "uuid", "uuidv4", "uuidv7", "write_log"),
    ]
)


class NotRun(Exception):
    """There are no rows: the query can not be read, is refused, or broke off."""


class TooSlow(NotRun):
    """It was stopped at its time limit."""


class TooLarge(NotRun):
    """It gives more rows, or longer ones, than anybody wants to compare."""


def statements(tables: Mapping[str, Any]) -> Iterator[tuple[str, list[Any]]]:
    """SQL with its parameters that makes {name: {"columns": {name: type}, "rows": [[cell, ...], ...]}}."""
    for name, table in tables.items():
        columns = ", ".join(f"{quoted(column)} {kind}" for column, kind in table["columns"].items())
        yield f"CREATE TABLE {quoted(name)} ({columns})", []
        width = len(table["columns"])
        for start in range(0, len(table["rows"]), CHUNK):
            rows = table["rows"][start : start + CHUNK]
            if any(len(row) != width for row in rows):
                raise ValueError(f"every row of table {name!r} must have {width} cells")
            marks = ", ".join([f"({', '.join('?' * width)})"] * len(rows))
            yield f"INSERT INTO {quoted(name)} VALUES {marks}", [cell for row in rows for cell in row]


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def weight(row: Row) -> int:
    """The characters and bytes of a row's texts."""
    return sum(len(cell) for cell in row if isinstance(cell, (str, bytes, list, dict)))
