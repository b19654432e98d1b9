from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whet.verifiers.sql_tokens import LONGEST, keyword_overlap, ngram_overlap, ordered, tokens


def test_tokens_are_words_texts_numbers_and_signs_without_comments():
    assert tokens("SELECT a.B, 'It''s' FROM \"T x\" -- no\nWHERE c>=1.5 /* no */ AND `d`<>2") == [
        *("select", "a", ".", "b", ",", "'It''s'", "from", "t x", "where", "c", ">=", "1.5", "and", "d", "<>", "2")
    ]


@pytest.mark.parametrize(
    ("query", "is_ordered"),
    [
        ("SELECT a FROM t ORDER BY a", True),
        ("select a from t order\n/* x */ by a limit 3", True),
        ("SELECT a FROM t", False),
        ("SELECT a FROM (SELECT a FROM t ORDER BY a)", False),
        ("SELECT ROW_NUMBER() OVER (ORDER BY a) FROM t", False),
        ("WITH r AS (SELECT a FROM t ORDER BY a) SELECT a FROM r", False),
        ("SELECT a FROM (SELECT a FROM t) ORDER BY a", True),
        ("SELECT 'ORDER BY a' FROM t -- ORDER BY a", False),
        ("SELECT ')' FROM (SELECT '(' FROM t ORDER BY a)", False),
        ("SELECT 1 UNION SELECT 2 ORDER BY 1", True),
    ],
)
def test_an_order_is_one_outside_of_all_parentheses(query: str, is_ordered: bool):
    assert ordered(query) == is_ordered


def test_overlaps_are_shares_of_what_either_has():
    a, b = "SELECT a FROM t", "SELECT b FROM t"  # pairs: select a, a from, from t; select b, b from, from t
    assert ngram_overlap(a, b) == 1 / 5
    assert ngram_overlap(a, b, size=1) == 3 / 5
    assert keyword_overlap(a, b) == 1
    assert keyword_overlap(a, "SELECT a FROM t WHERE b") == 2 / 3
    assert ngram_overlap(a, "select  A\nfrom T -- x") == 1
    assert ngram_overlap(a, "") == keyword_overlap(a, "") == ngram_overlap("", "") == keyword_overlap("x", "y") == 0


@given(st.text(), st.text(), st.integers(1, 3))
def test_overlaps_are_symmetric_and_lie_in_0_to_1(a: str, b: str, size: int):
    assert 0 <= ngram_overlap(a, b, size) == ngram_overlap(b, a, size) <= 1
    assert 0 <= keyword_overlap(a, b) == keyword_overlap(b, a) <= 1


@pytest.mark.parametrize("piece", ["'", '"', "`", "/*", "--", "''", "(", "a ", "1.", "\x00", "\ud800", "/*/"])
def test_long_text_is_cut_and_read_in_linear_time(piece: str):
    start = time.process_time()
    for odd in ("", "x"):
        assert len(tokens(odd + piece * 1_000_000)) <= LONGEST
    assert time.process_time() - start < 0.5
