"""Questions to a schema, with their SQL, and SQL that is slightly wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from whet.tasks.splits import pick
from whet.tasks.sql_schemas import KINDS, NUMBERS, Schema, Table

T = TypeVar("T")

FUNCTIONS = {"COUNT": "count", "AVG": "average", "SUM": "total", "MIN": "least", "MAX": "largest"}
SIGNS = {">": "over", "<": "below", "=": "being"}
FORMS = ("filter", "aggregate", "group", "join", "top")
STYLES = 3  # ways to write a thought
_WORDS = (
    "show",
    "of",
    "with",
    "whose",
    "for",
    "each",
    "lowest",
    "highest",
    "use",
    "look",
    "at",
    "from",
    "keep",
    "then",
)
_MORE = ("needs", "where", "to", "sort", "by", "per", "done", "everything", "first", "and")
_SQL = ("SELECT", "FROM", "WHERE", "JOIN", "ON", "GROUP", "BY", "ORDER", "DESC", "LIMIT", "id", "name", *FUNCTIONS)
GRAMMAR = (*_WORDS, *_MORE, *FUNCTIONS.values(), *SIGNS.values(), *_SQL)


@dataclass(frozen=True)
class Query:
    """SELECT `function`(`show`) FROM `table` [JOIN `parent`] [WHERE `where`] [GROUP BY `group`] [ORDER BY `order`
    LIMIT `limit`]; a WHERE speaks of the parent where there is one."""

    table: str
    show: str
    function: str = ""
    parent: str = ""
    where: tuple[str, str, str] | None = None  # column, sign, value
    group: str = ""
    order: str = ""
    descending: bool = False
    limit: int = 0

    @property
    def sql(self) -> str:
        at = f"{self.table}." if self.parent else ""
        shown = "*" if self.function == "COUNT" else at + self.show
        what = f"{self.function}({shown})" if self.function else shown
        text = f"SELECT {at + self.group + ',' if self.group else ''}{what} FROM {self.table}"
        if self.parent:
            text += f" JOIN {self.parent} ON {self.table}.{self.parent}_id={self.parent}.id"
        if self.where:
            column, sign, value = self.where
            value = f"'{value}'" if column in KINDS else value
            text += f" WHERE {f'{self.parent}.' if self.parent else ''}{column}{sign}{value}"
        if self.group:
            text += f" GROUP BY {at}{self.group}"
        if self.order:
            text += f" ORDER BY {at}{self.order}{' DESC' if self.descending else ''} LIMIT {self.limit}"
        return text

    @property
    def question(self) -> str:
        noun = FUNCTIONS[self.function] if self.function else "show"
        text = f"{noun} {self.table}" if self.function == "COUNT" else f"{noun} {self.show} of {self.table}"
        if self.group:
            text = f"for each {self.group} {text}"
        if self.where:
            text += f" whose {self.parent} with {self._condition}" if self.parent else f" with {self._condition}"
        if self.order:
            text += f" for {self.limit} {'highest' if self.descending else 'lowest'} {self.order}"
        return text

    @property
    def _condition(self) -> str:
        column, sign, value = self.where or ("", "=", "")
        return f"{column} {SIGNS[sign]} {value}"

    def thought(self, style: int) -> str:
        """What to do, in one of `STYLES` ways that share few words."""
        seen = [self.show, self.group, self.where[0] if self.where else "", self.order]
        columns = [column for column in dict.fromkeys(seen) if column and column != "*"]
        tables = [self.table, *([self.parent] if self.parent else [])]
        if style == 0:
            return f"use {' and '.join(tables)}, look at {' and '.join(columns) or 'everything'}"
        if style == 1:
            steps = [f"keep {self._condition}"] if self.where else []
            steps += [f"per {self.group}"] if self.group else []
            steps += [f"sort {'highest' if self.descending else 'lowest'} first"] if self.order else []
            return f"from {self.table}: {'; '.join([*steps, 'then show ' + (self.function or self.show)])}"
        needs = "WHERE" if self.where else "GROUP" if self.group else "ORDER" if self.order else "done"
        return f"{self.function or 'SELECT'} needs {needs}{', JOIN to ' + self.parent if self.parent else ''}"


def query(rng: np.random.Generator, schema: Schema, forms: Sequence[str]) -> Query:
    """A query of one of `forms`."""
    form = _of(rng, forms)
    table = _of(rng, [table for table in schema if table.parent or form != "join"])
    attributes = ["name", *table.numbers, *table.kinds]
    if form == "filter":
        return Query(table.name, _of(rng, attributes), where=_where(rng, table))
    if form == "aggregate":
        where = _where(rng, table) if pick(rng, 0, 1) else None
        return _aggregated(rng, table, Query(table.name, "", where=where))
    if form == "group":
        return _aggregated(rng, table, Query(table.name, "", group=_of(rng, table.kinds)))
    if form == "join":
        parent = next(other for other in schema if other.name == table.parent)
        made = Query(table.name, _of(rng, attributes), parent=parent.name, where=_where(rng, parent))
        return _aggregated(rng, table, made) if pick(rng, 0, 2) == 0 else made
    order, descending = _of(rng, table.numbers), bool(pick(rng, 0, 1))
    return Query(table.name, "name", order=order, descending=descending, limit=pick(rng, 1, 5))


def slips(made: Query, schema: Schema) -> list[Query]:
    """Queries that differ from `made` in one thing each; some may still be right."""
    table = next(table for table in schema if table.name == made.table)
    out = []
    if made.where:
        column, sign, value = made.where
        home = next(other for other in schema if other.name == (made.parent or made.table))
        peers = home.numbers if column in NUMBERS else []
        values = KINDS[column] if column in KINDS else (str(int(value) + 10), str(int(value) - 10))
        out += [replace(made, where=(other, sign, value)) for other in peers if other != column]
        out += [replace(made, where=(column, sign, other)) for other in values if other != value]
        out += [replace(made, where=(column, other, value)) for other in "<>" if sign != other and sign != "="]
        out += [unconditioned(made)] if not made.parent else []
    functions = [other for other in FUNCTIONS if made.function and other not in ("COUNT", made.function)]
    out += [replace(made, function=other, show=made.show or column) for other in functions for column in table.numbers]
    shown = table.numbers if made.function else ["name", *table.numbers, *table.kinds]
    out += [replace(made, show=other) for other in shown if made.show and other != made.show]
    out += [replace(made, group=other) for other in table.kinds if made.group and other != made.group]
    if made.order:
        out += [replace(made, descending=not made.descending), replace(made, limit=made.limit + 1)]
        out += [replace(made, order=other) for other in table.numbers if other != made.order]
    return out


def unconditioned(made: Query) -> Query:
    """The same without its WHERE."""
    return replace(made, where=None)


def _where(rng: np.random.Generator, table: Table) -> tuple[str, str, str]:
    column = _of(rng, [*table.numbers, *table.kinds])
    if column in KINDS:
        return column, "=", _of(rng, KINDS[column])
    return column, _of(rng, "<>"), str(10 * pick(rng, 2, 8))


def _aggregated(rng: np.random.Generator, table: Table, made: Query) -> Query:
    function = _of(rng, tuple(FUNCTIONS))
    return replace(made, function=function, show="" if function == "COUNT" else _of(rng, table.numbers))


def _of(rng: np.random.Generator, those: Sequence[T]) -> T:
    return those[pick(rng, 0, len(those) - 1)]
