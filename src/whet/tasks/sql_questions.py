"""Questions to small databases, answered by a query: text-to-SQL whose schemas are held out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple

from whet.randomness import generator
from whet.schedule import Count, Number
from whet.tasks import sql_grammar, sql_schemas
from whet.tasks.splits import check_place, drawn, pick, span, worked
from whet.tasks.sql_grammar import FORMS, GRAMMAR, STYLES, Query
from whet.tasks.sql_schemas import KINDS, LARGEST, NUMBERS, THINGS, Schema
from whet.types import Problem
from whet.verifiers import sql_sqlite
from whet.verifiers.sql_database import Row
from whet.verifiers.sql_rows import same

TRIES = 500  # our choice: questions drawn until one tells the databases apart (about one in two does)
SLIPS = 2  # our choice: wrong queries that are told with a problem
SECONDS, MOST = 10.0, 10_000  # bounds of our own queries, which need a thousandth of them

_VALUES = [value for values in KINDS.values() for value in values]
_KEYS = [f"{thing}_id" for thing in THINGS]
# Every word of prompts, thoughts and queries, for a tokenizer of words: `TinyQwen(tokenizer="word", words=WORDS)`.
WORDS = tuple(dict.fromkeys([*GRAMMAR, *THINGS, *_KEYS, *NUMBERS, *KINDS, *_VALUES, *map(str, range(1, LARGEST + 1))]))


class _World(NamedTuple):
    """A schema and its databases, open."""

    schema: Schema
    text: str  # the databases as JSON
    databases: tuple[Any, ...]


@dataclass(frozen=True)
class SqlQuestions:
    """Schema and question in, SQL out. "shop(id,name,city,size) book(id,name,price,color,shop_id) average price of book
    whose shop with city being rome" asks for what "SELECT AVG(book.price) FROM book JOIN shop ON book.shop_id=shop.id
    WHERE shop.city='rome'" gives.

    A split has `schemas` schemas of its own, of n tables, n in `tables`, each with keys and 2 or 3 further columns; no
    schema is in two splits (`splits.split_of`), though all are made of the same words. For each there are `databases`
    databases of other rows, r rows a table, r in `rows`. `forms`: what is asked for, see `sql_grammar.query`.

    The answer is JSON for the verifier `sql`: the gold query and all databases of the schema. Its results are not empty
    and differ from database to database, so no constant is right; what a condition leaves out shows on one of them.
    `info["solution"]` has a short thought, in one of three ways, and the query; of a share `wrong` of the problems it
    is the solution of a query that is slightly wrong, which gives other rows on one of the databases, and
    `info["slip"]` is True. `info["wrong"]` has `SLIPS` such queries, `info["sql"]` is the gold one, `info["form"]` what
    kind it is of.

    Source: the check of CogniSQL-R1-Zero (2025) at small size; the grammar is our own. Raises ValueError for ranges
    that are none, fewer than 2 tables or more than 8, fewer than 5 rows or more than 90, an unknown form, no schema, no
    database, and a share outside [0, 1].
    """

    tables: int | tuple[int, int] = (3, 4)
    rows: int | tuple[int, int] = (17, 50)
    databases: Count = 3
    schemas: Count = 32
    forms: tuple[str, ...] = FORMS
    wrong: Number = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if span("SqlQuestions.tables", self.tables, 2)[1] > 8:
            raise ValueError(f"SqlQuestions.tables must be at most 8, got {self.tables}")
        if span("SqlQuestions.rows", self.rows, 5)[1] > 90:
            raise ValueError(f"SqlQuestions.rows must be at most 90 a table (numbers differ), got {self.rows}")
        if not self.forms or any(form not in FORMS for form in self.forms):
            raise ValueError(f"SqlQuestions.forms must be some of {', '.join(FORMS)}, got {self.forms}")
        for name, value in (("databases", self.databases), ("schemas", self.schemas)):
            if isinstance(value, int | float) and value < 1:
                raise ValueError(f"SqlQuestions.{name} must be at least 1, got {value}")
        if isinstance(self.wrong, int | float) and not 0 <= self.wrong <= 1:
            raise ValueError(f"SqlQuestions.wrong is a share and must lie in [0, 1], got {self.wrong}")

    def size(self, split: str) -> int | None:
        return None

    def problem(self, split: str, i: int) -> Problem:
        check_place("sql_questions", split, i)
        rng = generator(self.seed, "task", "sql_questions", split, i)
        world = self._world(split, pick(rng, 0, int(self.schemas) - 1))
        gold = self._asked(rng, world)
        slipped = generator(self.seed, "task", "sql_questions slip", split, i)
        imitated = slipped.random() < self.wrong
        slips = self._slips(slipped, world, gold)
        said = slips[0] if imitated and slips else gold
        prompt = f"{sql_schemas.shown(world.schema)} {gold.question}"
        return Problem(
            id=f"sql_questions/{split}/{i}",
            prompt=[{"role": "user", "content": prompt}],
            answer=f'{{"sql": {json.dumps(gold.sql)}, "databases": {world.text}}}',
            info={
                "solution": worked(said.thought(pick(rng, 0, STYLES - 1)), said.sql),
                "slip": said != gold,
                "wrong": [worked("", slip.sql) for slip in slips],
                "sql": gold.sql,
                "form": form(gold),
            },
        )

    def _world(self, split: str, number: int) -> _World:
        return _world(self.seed, split, number, span("", self.tables, 2), span("", self.rows, 5), int(self.databases))

    def _asked(self, rng: Any, world: _World) -> Query:
        for _ in range(TRIES):
            made = sql_grammar.query(rng, world.schema, self.forms)
            if _telling(world, made):
                return made
        raise ValueError(f"SqlQuestions: none of {TRIES} questions tells the databases apart; give them more rows")

    def _slips(self, rng: Any, world: _World, gold: Query) -> list[Query]:
        """`SLIPS` queries that are wrong; fewer where there are not so many, which is rare."""
        slips, wanted = sql_grammar.slips(gold, world.schema), _results(world, gold)
        wrong = (slips[at] for at in rng.permutation(len(slips)) if not _alike(_results(world, slips[at]), wanted))
        return list(islice(wrong, SLIPS))


def form(made: Query) -> str:
    """Which of `FORMS` a query has."""
    if made.parent:
        return "join"
    if made.order:
        return "top"
    return "group" if made.group else "aggregate" if made.function else "filter"


@lru_cache(maxsize=512)
def _world(
    seed: int, split: str, number: int, tables: tuple[int, int], rows: tuple[int, int], databases: int
) -> _World:
    name = f"sql_questions schema {tables}"
    schema = drawn(name, seed, split, number, lambda rng: sql_schemas.schema(rng, *tables), sql_schemas.key)
    made = [
        sql_schemas.database(generator(seed, "task", f"{name} {rows}", split, number, k), schema, *rows)
        for k in range(databases)
    ]
    return _World(schema, json.dumps(made), tuple(sql_sqlite.opened(database) for database in made))


def _results(world: _World, made: Query) -> list[list[Row]]:
    return [sql_sqlite.rows(database, made.sql, SECONDS, MOST) for database in world.databases]


def _alike(a: list[list[Row]], b: list[list[Row]]) -> bool:
    return all(same(x, y, "set", False, 1e-9) for x, y in zip(a, b, strict=True))


@lru_cache(maxsize=2**15)
def _telling(world: _World, made: Query) -> bool:
    """Whether no result is empty or unknown, each is another than the others, and a condition leaves something out."""
    results = _results(world, made)
    if any(not rows or any(cell is None for row in rows for cell in row) for rows in results):
        return False
    if any(same(a, b, "set", False, 1e-9) for k, a in enumerate(results) for b in results[:k]):
        return False
    bare = sql_grammar.unconditioned(made)
    return bare == made or not _alike(_results(world, bare), results)
