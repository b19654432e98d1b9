"""Small relational schemas, and databases that fit them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from whet.tasks.splits import pick

# Words that are no keywords of SQL. Our choice.
THINGS = ("band", "book", "club", "crew", "dog", "farm", "mill", "park", "ship", "shop", "song", "tree")
NUMBERS = ("age", "cost", "height", "length", "price", "score", "size", "weight")
KINDS = {
    "city": ("cairo", "lima", "oslo", "rome"),
    "color": ("black", "blue", "green", "red"),
    "mood": ("calm", "glad", "sad", "wild"),
    "style": ("bold", "neat", "old", "plain"),
}
LARGEST = 99  # our choice: numbers are 1 .. 99, so that each is one word


class Table(NamedTuple):
    """`columns` in order: "id", "name", some of `NUMBERS` and `KINDS`, and "<parent>_id" where it has a parent."""

    name: str
    columns: tuple[str, ...]
    parent: str = ""

    @property
    def numbers(self) -> list[str]:
        return [column for column in self.columns if column in NUMBERS]

    @property
    def kinds(self) -> list[str]:
        return [column for column in self.columns if column in KINDS]


Schema = tuple[Table, ...]


def schema(rng: np.random.Generator, low: int, high: int) -> Schema:
    """`low` to `high` tables. Each has one number and one kind, or two of either, and refers to an earlier table."""
    names = [THINGS[k] for k in rng.permutation(len(THINGS))[: pick(rng, low, high)]]
    tables: list[Table] = []
    for place, name in enumerate(names):
        numbers, kinds = [(1, 1), (2, 1), (1, 2)][pick(rng, 0, 2)]
        columns = [NUMBERS[k] for k in rng.permutation(len(NUMBERS))[:numbers]]
        columns += [list(KINDS)[k] for k in rng.permutation(len(KINDS))[:kinds]]
        columns = [columns[k] for k in rng.permutation(len(columns))]
        parent = names[pick(rng, 0, place - 1)] if place else ""
        refers = [f"{parent}_id"] if parent else []
        tables.append(Table(name, ("id", "name", *columns, *refers), parent))
    return tuple(tables)


def shown(tables: Schema) -> str:
    """The schema as text: "shop(id,name,city,size) book(id,name,price,color,shop_id)"."""
    return " ".join(f"{table.name}({','.join(table.columns)})" for table in tables)


def key(tables: Schema) -> str:
    """The same text for schemas that differ in an order only."""
    return " ".join(sorted(f"{table.name}({','.join(sorted(table.columns))})" for table in tables))


def database(rng: np.random.Generator, tables: Schema, low: int, high: int) -> dict[str, Any]:
    """{"tables": ...} as the verifier `sql` takes it, `low` to `high` rows a table. The names and the numbers of a
    column are all different, so no order has ties; every reference has its row."""
    made: dict[str, Any] = {}
    counts: dict[str, int] = {}
    for table in tables:
        count = counts[table.name] = pick(rng, low, high)
        cells = {column: _cells(rng, table, column, count, counts) for column in table.columns}
        rows = [list(row) for row in zip(*cells.values(), strict=True)]
        made[table.name] = {"columns": {column: _type(table, column) for column in table.columns}, "rows": rows}
    return {"tables": made}


def _cells(rng: np.random.Generator, table: Table, column: str, count: int, counts: dict[str, int]) -> list[Any]:
    if column == "id":
        return list(range(1, count + 1))
    if column == "name":
        return [f"{table.name}{k}" for k in 100 + rng.permutation(900)[:count]]
    if column in NUMBERS:
        return [int(k) for k in 1 + rng.permutation(LARGEST)[:count]]
    if column in KINDS:
        return [KINDS[column][k] for k in rng.integers(len(KINDS[column]), size=count)]
    return [int(k) for k in rng.integers(1, counts[table.parent], size=count, endpoint=True)]


def _type(table: Table, column: str) -> str:
    if column == "id":
        return "INTEGER PRIMARY KEY"
    if column == f"{table.parent}_id":
        return f"INTEGER REFERENCES {table.parent}(id)"
    return "INTEGER" if column in NUMBERS else "TEXT"
