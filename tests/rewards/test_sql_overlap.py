from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
import torch

from whet.rewards.format import TagFormat
from whet.rewards.sql_overlap import SqlOverlap
from whet.rewards.verified import Verified
from whet.scoring import Weighted, totals
from whet.types import Group

SCRIPT = "CREATE TABLE t (a INTEGER, b TEXT); INSERT INTO t VALUES (1, 'x'), (2, 'y'), (2, 'y');"
GOLD = {"sql": "SELECT a FROM t WHERE b = 'x'", "databases": [{"script": SCRIPT}]}


def said(*queries: str) -> list[str]:
    return [f"<think>t</think><answer>{query}</answer>" for query in queries]


def test_a_copy_is_worth_1_and_a_likely_query_its_share(texts: Callable[..., Group]):
    group = texts(*said("select a from t where b = 'x'", "SELECT a FROM t", "DROP", ""), "SELECT a", answer=GOLD)
    # gold: 7 pairs and the keywords select, from, where; the second has 3 of the pairs and 2 of the keywords
    torch.testing.assert_close(SqlOverlap()(group), torch.tensor([1, (3 / 7 + 2 / 3) / 2, 0, 0, 0]))
    torch.testing.assert_close(SqlOverlap(keywords=0)(group), torch.tensor([1, 3 / 7, 0, 0, 0]))
    torch.testing.assert_close(SqlOverlap(keywords=1, extract="all")(group)[4], torch.tensor(1 / 3))


def test_the_gold_query_may_be_json_text_values_or_the_answer_itself(texts: Callable[..., Group]):
    for answer in (GOLD, json.dumps(GOLD), GOLD["sql"]):
        assert SqlOverlap()(texts(*said(str(GOLD["sql"])), answer=answer)).tolist() == [1]
    for odd in ("{", "{" * 100_000, "{}", 5):
        assert SqlOverlap()(texts(*said("SELECT a"), answer=odd)).tolist() == [0]


def test_words_pay_though_the_rows_are_wrong(texts: Callable[..., Group]):
    """What the thin reward is set against."""
    group = texts(*said("SELECT a FROM t WHERE b = 'y'"), answer=GOLD)
    assert SqlOverlap()(group).item() > 0.8
    assert asyncio.run(Verified("sql")(group)).values.tolist() == [0]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"size": 0}, "size must be at least 1"), ({"keywords": 1.5}, "keywords is a share"), ({"keywords": -1}, "share")],
)
def test_wrong_settings_are_refused(wrong: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        SqlOverlap(**wrong)


def test_a_problem_without_answer_is_named(texts: Callable[..., Group]):
    with pytest.raises(ValueError, match="'task/1' has no answer"):
        SqlOverlap()(texts("x"))


THIN = Weighted(
    {"correct": Verified("sql", options={"seconds": 0.2}), "format": TagFormat()},
    weights={"format": 0.1},
    gates={"correct": "format"},
)
ENDLESS = "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r) SELECT COUNT(*) FROM r"


def test_the_thin_reward_is_execution_where_the_tags_are_and_a_tenth_for_the_tags(texts: Callable[..., Group]):
    """R = e * f + 0.1 * f."""
    right = "SELECT a FROM t WHERE b <> 'y'"
    wrong = ("SELECT a FROM t", "SELEC a", "SELECT c FROM t", ENDLESS, f"{right}; DROP TABLE t", "SELECT NULL")
    untagged = (right, f"<answer>{right}</answer>", f"<think></think><answer>{right}</answer>", "")
    group = texts(*said(right), *said(*wrong), *untagged, answer=GOLD)
    scored = asyncio.run(THIN({}, group))
    torch.testing.assert_close(totals(scored), torch.tensor([1.1] + [0.1] * 6 + [0.0] * 4))
    assert scored.terms["correct"].tolist() == [1] + [0] * 6 + [0, 1, 1, 0]  # measured before the gate
    assert scored.outcomes["correct"][:7] == (
        *("right", "wrong", "unparseable", "unparseable", "timed out", "unparseable", "wrong"),
    )


def test_the_executable_rate_is_a_term_of_its_own(texts: Callable[..., Group]):
    runs = Verified("sql", options={"rule": "runs"})
    group = texts(*said("SELECT a FROM t", "SELECT c FROM t", "SELEC", "SELECT 1"), answer=GOLD)
    assert asyncio.run(runs(group)).values.tolist() == [1, 0, 0, 1]
