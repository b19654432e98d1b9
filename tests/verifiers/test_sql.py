from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whet.verifiers.gold import BadGold
from whet.verifiers.pool import Pool
from whet.verifiers.sql import LONGEST, verify

ENGINES = ("sqlite", "duckdb")
SCRIPT = """
CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, price DOUBLE, town TEXT);
INSERT INTO t VALUES (1, 'Ann', 2.5, 'Rome'), (2, 'Bob', 1.5, 'Oslo'), (3, 'Cal', 4, 'Rome'), (4, 'Dee', NULL, NULL);
"""


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return request.param


def gold(query: str, *databases: Any, engine: str = "sqlite") -> str:
    return json.dumps({"sql": query, "databases": databases or [{"script": SCRIPT}], "engine": engine})


def table(*rows: Any, kind: str = "INTEGER") -> dict[str, Any]:
    """A table t(a) of one column."""
    return {"tables": {"t": {"columns": {"a": kind}, "rows": [[row] for row in rows]}}}


def test_the_gold_query_and_another_way_to_its_rows_are_right(engine: str):
    meant = gold("SELECT name FROM t WHERE price > 2", engine=engine)
    for query in (
        "SELECT name FROM t WHERE price > 2",
        "select NAME as other from t where not price <= 2;",
        "SELECT x.name FROM t x WHERE x.id IN (1, 3) -- a remark",
        "WITH r AS (SELECT * FROM t WHERE price > 2) SELECT name FROM r",
        "```sql\nSELECT name FROM t WHERE price > 2\n```",
    ):
        assert verify(query, meant, rule="strict") == "right", query
    for query in ("SELECT name FROM t", "SELECT name, price FROM t WHERE price > 2", "SELECT 'Ann'", "SELECT 1"):
        assert verify(query, meant) == "wrong", query


def test_rows_in_another_order_are_right_unless_the_gold_query_has_an_order_and_order_counts(engine: str):
    backwards = "SELECT name FROM t ORDER BY id DESC"
    plain, sorted_ = gold("SELECT name FROM t", engine=engine), gold("SELECT name FROM t ORDER BY id", engine=engine)
    for rule in ("set", "multiset", "strict"):
        assert verify(backwards, plain, rule=rule) == "right"
    assert [verify(backwards, sorted_, rule=rule) for rule in ("set", "multiset", "strict")] == [
        "right",
        "right",
        "wrong",
    ]
    assert verify("SELECT name FROM t ORDER BY name", sorted_, rule="strict") == "right"


def test_an_order_inside_parentheses_or_a_text_is_none():
    backwards = "SELECT name FROM t ORDER BY id DESC"
    for query in (
        "SELECT name FROM (SELECT name FROM t ORDER BY id)",
        "SELECT name FROM t WHERE name <> 'ORDER BY id' -- ORDER BY id",
        "SELECT name FROM t /* ORDER BY id */",
    ):
        assert verify(backwards, gold(query), rule="strict") == "right", query


def test_repeated_rows_count_under_multiset_and_not_under_set(engine: str):
    meant = gold("SELECT town FROM t", engine=engine)
    assert verify("SELECT DISTINCT town FROM t", meant, rule="set") == "right"
    assert verify("SELECT DISTINCT town FROM t", meant, rule="multiset") == "wrong"
    assert verify("SELECT DISTINCT town FROM t", meant, rule="strict") == "wrong"
    assert verify("SELECT town FROM t ORDER BY 1", meant, rule="multiset") == "right"


def test_two_empty_results_are_equal_and_may_be_refused(engine: str):
    meant = gold("SELECT name FROM t WHERE id > 9", engine=engine)
    assert verify("SELECT name FROM t WHERE 1 = 0", meant) == "right"
    with pytest.raises(BadGold, match="no row on any database"):
        verify("SELECT name FROM t WHERE 1 = 0", meant, empty=False)
    one = gold("SELECT a FROM t WHERE a > 2", table(1), table(3))
    assert verify("SELECT a FROM t WHERE a > 2", one, empty=False) == "right"  # not empty on every database


@pytest.mark.parametrize(
    ("said", "meant", "verdict"),
    [
        ("NULL", "NULL", "right"),
        ("1", "1.0", "right"),
        ("'1'", "1", "wrong"),
        ("''", "NULL", "wrong"),
        ("0", "NULL", "wrong"),
        ("0.1 + 0.2", "0.3", "right"),
        ("1e9 + 0.1", "1e9", "right"),
        ("1e6 + 0.1", "1e6", "wrong"),
        ("1000000000001", "1000000000000", "wrong"),  # whole numbers have no tolerance
        ("'a'", "'A'", "wrong"),
        ("1, 2", "2, 1", "wrong"),  # order of columns
        ("1 AS x", "1 AS y", "right"),
        ("1, 1", "1", "wrong"),
    ],
)
def test_cells_are_equal_by_value(engine: str, said: str, meant: str, verdict: str):
    for rule in ("set", "strict"):
        assert verify(f"SELECT {said}", gold(f"SELECT {meant}", engine=engine), rule=rule) == verdict


def test_the_tolerance_is_an_option():
    meant = gold("SELECT 0.3")
    assert verify("SELECT 0.1 + 0.2", meant, tolerance=0) == "wrong"
    assert verify("SELECT 0.31", meant, tolerance=0.02) == "right"


def test_no_rounding_edge_parts_numbers_that_are_close():
    edge = 1.00000000005  # halfway between two numbers of ten decimals
    for near in (edge + 1e-15, edge - 1e-15):
        assert verify(f"SELECT {near!r}", gold(f"SELECT {edge!r}")) == "right"


def test_a_query_must_fit_every_database(engine: str):
    databases = [table(1, 2, 3), table(4, 5), table(6)]
    meant = gold("SELECT COUNT(*) FROM t", *databases, engine=engine)
    assert verify("SELECT COUNT(a) FROM t", meant) == "right"
    for query in ("SELECT 3", "SELECT 2", "SELECT '3'", "SELECT COUNT(*) FROM t WHERE a < 6", "SELECT MAX(a) FROM t"):
        assert verify(query, meant) == "wrong", query
    assert verify("SELECT 3", gold("SELECT COUNT(*) FROM t", databases[0], engine=engine)) == "right"  # by chance


@pytest.mark.parametrize(
    "query",
    [
        "",
        " \n",
        ";",
        "-- nothing",
        "ann",
        "SELEC name FROM t",
        "SELECT name FROM",
        "SELECT nome FROM t",
        "SELECT name FROM u",
        "SELECT nothing(name) FROM t",
        "SELECT 1; DROP TABLE t",
        "SELECT name FROM t; SELECT name FROM t",
        "DROP TABLE t",
        "DELETE FROM t",
        "INSERT INTO t VALUES (9, 'x', 1, 'y')",
        "UPDATE t SET name = 'x' RETURNING name",
        "WITH r AS (SELECT 1) DELETE FROM t",
        "CREATE TABLE u (a INTEGER)",
        "CREATE TEMP TABLE u AS SELECT * FROM t",
        "ALTER TABLE t ADD COLUMN b INTEGER",
        "ATTACH 'other.db' AS other",
        "ATTACH ':memory:' AS other",
        "VACUUM",
        "PRAGMA query_only = OFF",
        "PRAGMA database_list",
        "BEGIN",
        "COMMIT",
        "ROLLBACK",
        "SELECT load_extension('x.so')",
        "SELECT random()",
        'SELECT "random"()',
        "SELECT name FROM t ORDER BY Random ()",
        "SELECT name\x00 FROM t",
        "\x00",
        "SELECT '\ud800'",
        "SELECT " + "(" * 4000 + "1" + ")" * 4000,
        "SELECT " + "1+" * 4000 + "1",
        "SELECT " + "- " * 4000 + "1",
        "SELECT 1" + " " * LONGEST + "+ 1",
        "(" * 9000,
        "'" * 9001,
        "/*" * 4000,
    ],
)
def test_what_is_no_single_query_that_reads_is_unparseable_and_changes_nothing(engine: str, query: str):
    meant = gold("SELECT name FROM t", engine=engine)
    start = time.process_time()
    assert verify(query, meant) == "unparseable"
    assert verify(query, meant, rule="runs") == "unparseable"
    assert time.process_time() - start < 2
    assert verify("SELECT name FROM t", meant, rule="strict") == "right"
    assert verify("SELECT COUNT(*) FROM t", gold("SELECT 4", engine=engine)) == "right"


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM glob('/etc/*')",
        "COPY t TO '/tmp/whet-test-copy.csv'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET threads = 4",
        "CALL pragma_version()",
        "EXPORT DATABASE '/tmp/whet-test-export'",
        "SELECT * FROM secret",  # a variable of this test
        "SELECT gen_random_uuid()",
        "SELECT * FROM enable_logging()",
    ],
)
def test_duckdb_reaches_no_file_no_setting_and_no_variable(query: str):
    secret = [1]
    assert verify(query, gold("SELECT name FROM t", engine="duckdb")) == "unparseable"
    assert secret == [1]


def test_a_column_may_have_the_name_of_a_refused_function(engine: str):
    database = {"script": "CREATE TABLE t (random INTEGER, uuid INTEGER); INSERT INTO t VALUES (1, 2)"}
    assert verify("SELECT t.random, uuid FROM t", gold("SELECT 1, 2", database, engine=engine)) == "right"


def test_table_functions_of_sqlite_are_refused():
    for query in ("SELECT value FROM json_each('[1]')", "SELECT name FROM pragma_table_info('t')"):
        assert verify(query, gold("SELECT 1")) == "unparseable"


ENDLESS = "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r) SELECT COUNT(*) FROM r"
SLOW = "SELECT COUNT(*) FROM t a, t b, t c, t d, t e, t f, t g, t h, t i, t j, t k, t l, t m, t n, t o, t p"


@pytest.mark.parametrize("query", [ENDLESS, SLOW])
def test_a_query_without_end_is_timed_out(engine: str, query: str):
    meant, start = gold("SELECT name FROM t", engine=engine), time.process_time()
    assert verify(query, meant, seconds=0.2) == "timed out"
    assert time.process_time() - start < 3
    assert verify("SELECT name FROM t", meant) == "right"


def test_more_rows_than_the_limit_are_wrong_and_soon(engine: str):
    endless, start = ENDLESS.replace("COUNT(*)", "i"), time.process_time()
    assert verify(endless, gold("SELECT name FROM t", engine=engine)) in ("wrong", "timed out")
    assert verify("SELECT name FROM t", gold("SELECT 1", engine=engine), rows=3) == "wrong"
    assert verify("SELECT name FROM t", gold("SELECT 1", engine=engine), rows=3, rule="runs") == "wrong"
    assert verify("SELECT name FROM t", gold("SELECT name FROM t", engine=engine), rows=4) == "right"
    assert time.process_time() - start < 5


GROWING = "WITH RECURSIVE r(i, x) AS (SELECT 1, 'ab' UNION ALL SELECT i + 1, x || x FROM r WHERE i < 60)"


@pytest.mark.parametrize(
    "query",
    [
        "SELECT length(randomblob(1000000000))",
        "SELECT length(zeroblob(1000000000))",
        "SELECT length(printf('%1000000000d', 1))",
        "SELECT length(replace(hex(zeroblob(400000)), '0', 'aaaaaaaaaa'))",
        "SELECT length(group_concat(hex(zeroblob(100000)))) FROM t a, t b, t c, t d",
        f"{GROWING} SELECT length(x) FROM r",
    ],
)
def test_no_text_of_sqlite_grows_beyond_the_limit(query: str):
    assert verify(query, gold("SELECT name FROM t")) in ("unparseable", "wrong")  # printf gives NULL
    assert verify("SELECT 1", gold("SELECT 1")) == "right"


def test_memory_is_bounded_in_the_workers():
    hoard = (
        "WITH RECURSIVE r(i, x) AS (SELECT 1, hex(zeroblob(200000)) UNION ALL SELECT i + 1, x FROM r) "
        "SELECT COUNT(*) FROM (SELECT DISTINCT x || i FROM r)"
    )
    wide = "SELECT " + ", ".join(["hex(zeroblob(400000))"] * 100)
    pool = Pool(workers=1, deadline=20, memory=1024**3)
    try:
        meant = gold("SELECT name FROM t")
        pairs = [(query, meant) for query in (hoard, wide, "SELECT name FROM t")]
        verdicts = [verdict.outcome for verdict in pool.check_now("sql", pairs, seconds=10.0)]
    finally:
        pool.close()
    assert verdicts[0] in ("unparseable", "timed out") and verdicts[1:] == ["wrong", "right"]


def test_a_query_that_takes_a_workers_memory_costs_nobody_else_a_verdict():
    join = "SELECT COUNT(*) FROM (SELECT DISTINCT a.i, b.i FROM range(300) a(i), range(300) b(i))"
    queries = [
        "SELECT length(repeat('x', 300000000))",
        join,
        "SELECT list_sum(range(1000000000))",
        join,
        "SELECT string_agg(repeat('x', 100000), '') FROM range(100000)",
        join,
        "SELECT " + "[" * 150 + "1" + "]" * 150,
        join,
    ]
    pool = Pool(workers=1, deadline=20, memory=1024**3)
    try:
        meant = gold("SELECT 90000", engine="duckdb")
        verdicts = [verdict.outcome for verdict in pool.check_now("sql", [(q, meant) for q in queries], seconds=5.0)]
    finally:
        pool.close()
    assert verdicts[1::2] == ["right"] * 4
    assert set(verdicts[::2]) <= {"wrong", "unparseable", "timed out", "crashed"}


def test_patterns_cost_no_more_than_the_limit():
    text = "a" * 100
    query = f"SELECT '{text * 90}' LIKE '{'%a' * 40}%b', '{text}' GLOB '{'*a' * 40}b'"
    start = time.process_time()
    assert verify(query, gold("SELECT 1")) in ("wrong", "timed out", "unparseable")
    assert time.process_time() - start < 3


def test_runs_asks_only_whether_the_query_runs(engine: str):
    meant = gold("SELECT name FROM t", engine=engine)
    assert verify("SELECT price FROM t", meant, rule="runs") == "right"
    assert verify("SELECT prize FROM t", meant, rule="runs") == "unparseable"
    assert verify(ENDLESS, meant, rule="runs", seconds=0.1) == "timed out"


def test_text_that_is_no_utf8_is_a_value():
    assert verify("SELECT CAST(x'ff' AS TEXT)", gold("SELECT CAST(x'ff' AS TEXT)")) == "right"
    assert verify("SELECT CAST(x'fe' AS TEXT)", gold("SELECT CAST(x'ff' AS TEXT)")) == "wrong"
    assert verify("SELECT x'41'", gold("SELECT 'A'")) == "wrong"  # bytes are no text


def test_other_types_of_duckdb_are_equal_by_value():
    for query in (
        "SELECT DATE '2020-01-01', [1, 2], {'a': 1}, true, 1.5::DECIMAL(4, 2), 'nan'::DOUBLE, 'inf'::DOUBLE",
        "SELECT 170141183460469231731687303715884105727::HUGEINT, INTERVAL 1 DAY, MAP {'a': 1}",
    ):
        assert verify(query, gold(query, engine="duckdb"), rule="strict") == "right"
    for said, meant in (("DATE '2020-01-01'", "'2020-01-01'"), ("[1, 2]", "[2, 1]"), ("'nan'::DOUBLE", "NULL")):
        assert verify(f"SELECT {said}", gold(f"SELECT {meant}", engine="duckdb")) == "wrong"
    assert verify("SELECT SUM(a) / 2 FROM t", gold("SELECT 1.5", table(1, 2), engine="duckdb")) == "right"


def test_a_file_is_opened_for_reading_only(engine: str, tmp_path: Path):
    path = tmp_path / ("a b?#%20.db" if engine == "sqlite" else "a b#%20.db")
    if engine == "sqlite":
        made: Any = sqlite3.connect(path)
        made.executescript(SCRIPT)
    else:
        import duckdb

        made = duckdb.connect(str(path))
        made.execute(SCRIPT)
    made.close()
    before = path.read_bytes()
    meant = gold("SELECT name FROM t", {"path": str(path)}, engine=engine)
    assert verify("SELECT name FROM t", meant) == "right"
    for query in ("DROP TABLE t", "INSERT INTO t VALUES (9, 'x', 1, 'y')", "SELECT 1; DROP TABLE t"):
        assert verify(query, meant) == "unparseable"
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_file_that_has_changed_is_read_again(tmp_path: Path):
    path = tmp_path / "x.db"
    meant = gold("SELECT a FROM t", {"path": str(path)})
    for rows in ((1,), (1, 2, 3)):
        path.unlink(missing_ok=True)
        made = sqlite3.connect(path)
        made.execute("CREATE TABLE t (a INTEGER)")
        made.executemany("INSERT INTO t VALUES (?)", [(row,) for row in rows * 1000])
        made.commit()
        made.close()
        assert verify("SELECT COUNT(*) FROM t", gold(f"SELECT {len(rows) * 1000}", {"path": str(path)})) == "right"
        assert verify("SELECT a FROM t", meant) == "right"


def test_tables_have_their_keys(engine: str):
    tables = {
        "shop": {"columns": {"id": "INTEGER PRIMARY KEY", "two words": "TEXT"}, "rows": [[1, "x"], [2, None]]},
        "book": {
            "columns": {"id": "INTEGER", "shop_id": "INTEGER REFERENCES shop(id)"},
            "rows": [[k, 1] for k in range(250)],
        },
    }
    meant = gold("SELECT COUNT(*) FROM book JOIN shop ON shop.id = shop_id", {"tables": tables}, engine=engine)
    assert verify("SELECT COUNT(*) FROM book", meant) == "right"
    assert verify('SELECT COUNT("two words") FROM shop', gold("SELECT 1", {"tables": tables}, engine=engine)) == "right"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "SELECT name FROM t",
        "{}",
        "[]",
        "[" * 100_000,
        '{"sql": "SELECT 1"}',
        '{"sql": "SELECT 1", "databases": []}',
        '{"sql": "SELECT 1", "databases": [{}]}',
        '{"sql": "SELECT 1", "databases": ["x.db"]}',
        '{"sql": 1, "databases": [{"script": ""}]}',
        '{"sql": "SELECT 1", "databases": [{"script": ""}], "engine": "oracle"}',
        '{"sql": "SELECT 1", "databases": [{"script": ""}], "engine": []}',
        '{"sql": "SELECT 1", "databases": [{"script": "CREATE"}]}',
        '{"sql": "SELECT 1", "databases": [{"script": 7}]}',
        '{"sql": "SELECT 1", "databases": [{"path": "/there/is/no/such.db"}]}',
        '{"sql": "SELECT 1", "databases": [{"path": 7}]}',
        '{"sql": "SELECT 1", "databases": [{"tables": {"t": {"columns": {"a": "INTEGER"}, "rows": [[1, 2]]}}}]}',
        '{"sql": "SELECT 1", "databases": [{"tables": {"t": {}}}]}',
        '{"sql": "SELECT 1", "databases": [{"tables": 7}]}',
        '{"sql": "SELECT b FROM t", "databases": [{"script": "CREATE TABLE t (a INTEGER)"}]}',
        '{"sql": "DROP TABLE t", "databases": [{"script": "CREATE TABLE t (a INTEGER)"}]}',
        '{"sql": "SELECT", "databases": [{"script": ""}]}',
    ],
)
def test_another_gold_is_our_fault(text: str):
    with pytest.raises(BadGold):
        verify("SELECT 1", text)


def test_a_file_that_is_no_database_is_our_fault(engine: str, tmp_path: Path):
    (tmp_path / "x.db").write_text("no database " * 1000)
    with pytest.raises(BadGold, match="can not make the database"):
        verify("SELECT 1", gold("SELECT 1", {"path": str(tmp_path / "x.db")}, engine=engine))


def test_a_gold_query_beyond_the_limits_is_our_fault(engine: str):
    with pytest.raises(BadGold, match="does not run"):
        verify("SELECT 1", gold(ENDLESS, engine=engine), seconds=0.1)
    with pytest.raises(BadGold, match="does not run"):
        verify("SELECT 1", gold("SELECT name FROM t", engine=engine), rows=3)


@pytest.mark.parametrize("options", [{"rule": "bag"}, {"tolerance": -1}, {"tolerance": 2}, {"seconds": 0}, {"rows": 0}])
def test_wrong_settings_are_our_fault(options: dict[str, Any]):
    with pytest.raises(BadGold, match="sql"):
        verify("SELECT 1", gold("SELECT 1"), **options)


def test_without_the_extra_only_duckdb_is_missing_and_the_error_says_what_to_install(tmp_path: Path):
    (tmp_path / "duckdb.py").write_text("raise ImportError('not here')\n")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    code = "import sys; from whet.verifiers.sql import verify; print(verify('SELECT 1', sys.argv[1]))"
    for engine, says in (("sqlite", "right"), ("duckdb", 'pip install "whet[sql]"')):
        command = [sys.executable, "-c", code, gold("SELECT 1", engine=engine)]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        assert says in done.stdout + done.stderr


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    pool = Pool(workers=1, deadline=5)
    yield pool
    pool.close()


def test_the_workers_say_the_same(pool: Pool, engine: str):
    meant = gold("SELECT name FROM t ORDER BY id", engine=engine)
    said = {
        "SELECT name FROM t ORDER BY id": "right",
        "SELECT name FROM t ORDER BY id DESC": "wrong",
        "SELEC": "unparseable",
        "SELECT '\ud800'": "unparseable",
        ENDLESS: "timed out",
        "SELECT 1; DROP TABLE t": "unparseable",
        "SELECT name FROM t ORDER BY name": "right",
    }
    verdicts = pool.check_now("sql", [(query, meant) for query in said], rule="strict", seconds=0.3)
    assert [verdict.outcome for verdict in verdicts] == list(said.values())
    assert pool.check_now("sql", [("SELECT 1", "{}")])[0].outcome == "failed"
    assert pool.check_now("sql", [("SELECT 1", meant)], rule="bag")[0].outcome == "failed"


CELLS = st.lists(st.tuples(st.integers(-3, 3), st.sampled_from(["a", "b", None])), min_size=1, max_size=6)


@given(CELLS, st.randoms(use_true_random=False))
def test_neither_the_order_of_rows_nor_repeating_all_of_them_changes_a_set(rows: list[Any], random: Any):
    def query(rows: list[Any]) -> str:
        return "VALUES " + ", ".join(f"({a}, {'NULL' if b is None else repr(b)})" for a, b in rows)

    turned = random.sample(rows, len(rows))
    meant = gold(query(rows), {"script": ""})
    assert verify(query(turned), meant, rule="multiset") == "right"
    assert verify(query(turned + rows), meant) == "right"
    assert verify(query(turned + rows), meant, rule="multiset") == "wrong"
    assert verify(query([*turned, (9, "a")]), meant) == "wrong"


@given(st.text(max_size=60))
def test_whatever_is_said_there_is_a_verdict(text: str):
    for engine in ENGINES:
        assert verify(text, gold("SELECT name FROM t", engine=engine), seconds=0.2) in ("unparseable", "wrong")
