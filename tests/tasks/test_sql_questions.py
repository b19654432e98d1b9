from __future__ import annotations

import json
import re
from collections import Counter
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whet.stages.positives import different
from whet.tasks.sql_grammar import FORMS, STYLES, Query
from whet.tasks.sql_questions import SLIPS, WORDS, SqlQuestions
from whet.tasks.sql_schemas import KINDS, NUMBERS
from whet.types import Problem
from whet.verifiers import sql_sqlite
from whet.verifiers.sql import verify

TASK = SqlQuestions()
MANY = [TASK.problem("train", i) for i in range(200)]


def prompt(problem: Problem) -> str:
    content: Any = problem.prompt
    return content[0]["content"]


def schemas(problem: Problem) -> frozenset[str]:
    return frozenset(re.findall(r"\w+\([^)]*\)", prompt(problem)))


def answer(problem: Problem) -> str:
    found = re.fullmatch(r"<think>([^<]+)</think><answer>(.+)</answer>", problem.info["solution"])
    assert found
    return found[2]


def test_the_solution_is_right_by_every_rule_and_spam_is_not():
    for problem in MANY:
        for rule in ("set", "multiset", "strict"):
            assert verify(answer(problem), problem.answer, rule=rule, empty=False) == "right"
        for spam in ("SELECT 1", "SELECT 0", "SELECT NULL", "SELECT name FROM nowhere", "", f"{answer(problem)} x y"):
            assert verify(spam, problem.answer) in ("wrong", "unparseable")


def test_no_constant_is_right_though_it_is_the_gold_result_of_one_database():
    for problem in MANY:
        gold = json.loads(problem.answer)
        for database in gold["databases"]:
            rows = sql_sqlite.rows(sql_sqlite.opened(database), gold["sql"], 1.0, 1000)
            constant = f"VALUES {', '.join(str(row).replace(',)', ')') for row in rows)}"
            assert rows and verify(constant, json.dumps({**gold, "databases": [database]})) == "right"
            assert verify(constant, problem.answer) == "wrong"


def test_a_condition_counts():
    conditioned = [problem for problem in MANY if " WHERE " in problem.info["sql"]]
    assert len(conditioned) > 50
    for problem in conditioned:
        assert verify(re.sub(r" WHERE \S+", "", problem.info["sql"]), problem.answer) == "wrong"


def test_databases_have_3_or_4_tables_with_keys_and_rows_that_fit():
    for problem in MANY[:30]:
        databases = json.loads(problem.answer)["databases"]
        assert len(databases) == 3
        for database in databases:
            tables = database["tables"]
            assert 3 <= len(tables) <= 4 and 50 <= sum(len(table["rows"]) for table in tables.values()) <= 200
            for name, table in tables.items():
                columns = list(zip(*table["rows"], strict=True))
                assert len(set(columns[0])) == len(columns[0]) and table["columns"]["id"] == "INTEGER PRIMARY KEY"
                for (column, kind), cells in zip(table["columns"].items(), columns, strict=True):
                    if column in NUMBERS:
                        assert len(set(cells)) == len(cells)
                    if "REFERENCES" in kind:
                        parent = tables[column.removesuffix("_id")]
                        assert set(cells) <= {row[0] for row in parent["rows"]} and column != f"{name}_id"
        connection = sql_sqlite.opened(databases[0])
        assert not sql_sqlite.rows(connection, "SELECT name FROM sqlite_master WHERE type <> 'table'", 1.0, 10)


def test_splits_share_no_schema():
    seen = {split: {schemas(TASK.problem(split, i)) for i in range(150)} for split in ("train", "validation", "test")}
    for a, b in combinations(seen.values(), 2):
        assert not a & b
    assert all(len(found) > 25 for found in seen.values())
    few = {schemas(SqlQuestions(schemas=2).problem("train", i)) for i in range(50)}
    assert len(few) == 2 and few <= {schemas(TASK.problem("train", i)) for i in range(500)}


def test_every_form_occurs_and_can_be_asked_for_alone():
    assert set(Counter(problem.info["form"] for problem in MANY)) == set(FORMS)
    for form in FORMS:
        alone = SqlQuestions(forms=(form,))
        assert {alone.problem("test", i).info["form"] for i in range(20)} == {form}


def test_a_share_of_the_solutions_is_slightly_wrong_and_the_rest_is_as_before():
    mixed = [SqlQuestions(wrong=0.4).problem("train", i) for i in range(200)]
    slips = 0
    for clean, problem in zip(MANY, mixed, strict=True):
        assert (problem.prompt, problem.answer, problem.info["sql"]) == (clean.prompt, clean.answer, clean.info["sql"])
        slips += problem.info["slip"]
        if problem.info["slip"]:
            assert verify(answer(problem), problem.answer) == "wrong"  # it runs
        else:
            assert problem == clean
    assert 60 <= slips <= 100  # 80 on average, standard deviation 7
    assert all(SqlQuestions(wrong=1).problem("train", i).info["slip"] for i in range(100))


def test_prompts_are_short_and_every_word_is_known():
    for problem in MANY:
        words = re.findall(r"\w+|\W", prompt(problem))
        assert len(words) <= 90
        said = words + re.findall(r"\w+|\W", re.sub("</?(think|answer)>", " ", problem.info["solution"]))
        assert {word for word in said if len(word) > 1} <= set(WORDS)
    assert len(WORDS) < 250


def test_the_three_ways_to_think_of_one_query_differ_as_positive_samples_must():
    shown = [
        Query("book", "name", where=("price", ">", "30")),
        Query("book", "", "COUNT", group="color"),
        Query("book", "price", "AVG", parent="shop", where=("city", "=", "rome")),
        Query("book", "name", order="price", descending=True, limit=3),
    ]
    for query in shown:
        assert different([query.thought(style) for style in range(STYLES)]) == list(range(STYLES))


def test_questions_and_queries_say_the_same():
    said = {
        "show name of book with price over 30": "SELECT name FROM book WHERE price>30",
        "for each color count book": "SELECT color,COUNT(*) FROM book GROUP BY color",
        "average price of book whose shop with city being rome": (
            "SELECT AVG(book.price) FROM book JOIN shop ON book.shop_id=shop.id WHERE shop.city='rome'"
        ),
        "show name of book for 3 highest price": "SELECT name FROM book ORDER BY price DESC LIMIT 3",
    }
    queries = [
        Query("book", "name", where=("price", ">", "30")),
        Query("book", "", "COUNT", group="color"),
        Query("book", "price", "AVG", parent="shop", where=("city", "=", "rome")),
        Query("book", "name", order="price", descending=True, limit=3),
    ]
    assert {query.question: query.sql for query in queries} == said


def test_values_of_kinds_are_words_of_their_own():
    values = [value for values in KINDS.values() for value in values]
    assert len(set(values)) == len(values) and not set(values) & {*NUMBERS, *KINDS}


@settings(max_examples=15)
@given(st.integers(2, 4), st.integers(5, 60), st.integers(1, 3), st.integers(1, 40), st.integers(0, 10**9))
def test_other_settings_make_sound_problems(tables: int, rows: int, databases: int, schemas_: int, i: int):
    task = SqlQuestions((tables, tables + 1), (rows, rows + 5), databases, schemas_, wrong=0.5, seed=i % 3)
    problem = task.problem("test", i)
    assert problem == task.problem("test", i)
    assert verify(problem.info["sql"], problem.answer, empty=False) == "right"
    assert verify(answer(problem), problem.answer) == ("wrong" if problem.info["slip"] else "right")
    told = [text.removeprefix("<answer>").removesuffix("</answer>") for text in problem.info["wrong"]]
    assert len(told) <= SLIPS and {verify(text, problem.answer) for text in told} <= {"wrong"}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"tables": 1}, "tables must be a number or a range"),
        ({"tables": 9}, "at most 8"),
        ({"rows": 4}, "rows must be a number or a range"),
        ({"rows": (10, 91)}, "at most 90"),
        ({"databases": 0}, "databases must be at least 1"),
        ({"schemas": 0}, "schemas must be at least 1"),
        ({"forms": ()}, "forms must be some of"),
        ({"forms": ("filter", "window")}, "forms must be some of"),
        ({"wrong": 1.5}, "wrong is a share"),
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        SqlQuestions(**wrong)
