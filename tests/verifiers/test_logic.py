from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whet.verifiers.gold import BadGold
from whet.verifiers.logic import LONGEST, verify

SUDOKU = {"rule": "latin", "box": 2, "rows": ["__34", "34__", "__43", "43__"]}
FUTOSHIKI = {"rule": "latin", "rows": ["1__", "___", "___"], "less": [[1, 4]]}
GOLDS: list[tuple[dict[str, Any], str]] = [
    ({"rule": "set", "value": "A,C"}, "A,C"),
    ({"rule": "list", "value": "ab,ca,da"}, "ab,ca,da"),
    ({"rule": "text", "value": "dec"}, "dec"),
    (SUDOKU, "1234/3412/2143/4321"),
    (FUTOSHIKI, "123/231/312"),
    ({"rule": "brackets", "opened": "([]{"}, "})"),
]


def said(answer: str, gold: dict[str, Any] | str) -> str:
    return verify(answer, gold if isinstance(gold, str) else json.dumps(gold))


def test_letters_may_come_in_any_order_and_none_may_be_missing_or_twice() -> None:
    gold = {"rule": "set", "value": "A,C"}
    assert [said(text, gold) for text in ("A,C", "C,A", "C A", " A , C ")] == ["right"] * 4
    assert [said(text, gold) for text in ("A", "B", "A,B,C", "a,c", "AC")] == ["wrong"] * 5
    assert [said(text, gold) for text in ("", "A,C,A", "A,A,C")] == ["unparseable"] * 3


def test_both_fillings_of_a_sudoku_with_two_are_right() -> None:
    assert said("1234/3412/2143/4321", SUDOKU) == said("2134/3421/1243/4312", SUDOKU) == "right"
    assert said("12 34\n34 12\n21 43\n43 21", SUDOKU) == "right"
    for wrong in ("1234/3412/2143/4312", "1243/3412/2134/4321"):  # a column, a clue
        assert said(wrong, SUDOKU) == "wrong"
    free = {"rule": "latin", "rows": ["____"] * 4}
    assert said("1234/2341/3412/4123", free) == "right" and said("1234/2341/3412/4123", {**free, "box": 2}) == "wrong"
    for none in ("1234/3412/2143", "1234/3412/2143/432", "1234/3412/2143/4325", "__34/34__/__43/43__"):
        assert said(none, SUDOKU) == "unparseable"


def test_a_futoshiki_keeps_to_its_signs_and_any_filling_that_does_is_right() -> None:
    assert said("123/231/312", FUTOSHIKI) == "right"  # 2 < 3
    assert said("132/213/321", FUTOSHIKI) == "wrong"  # 3 > 1
    assert said("123/312/231", FUTOSHIKI) == "wrong"  # 2 > 1


def test_brackets_close_all_and_only_what_is_open() -> None:
    gold = {"rule": "brackets", "opened": "([]{"}
    assert [said(text, gold) for text in ("})", ")}", "}", "}))", "()})", "([]{})")] == [
        "right",
        "wrong",
        "wrong",
        "wrong",
        "unparseable",
        "unparseable",
    ]


def test_a_list_has_its_order_and_a_plain_text_is_itself() -> None:
    gold = {"rule": "list", "value": "yes,no,yes"}
    assert [said(text, gold) for text in ("yes,no,yes", "yes, no, yes", "yes,yes,no", "yes")] == [
        "right",
        "right",
        "wrong",
        "wrong",
    ]
    assert (said(" 7 ", "7"), said("7.0", "7"), said("dec", "dec")) == ("right", "wrong", "right")


def test_an_entry_of_reasoning_gym_is_judged_by_its_data_set() -> None:
    pytest.importorskip("reasoning_gym")
    entry = {"question": "2 + 3 =", "answer": "5", "metadata": {}}
    gold = {"dataset": "chain_sum", "config": {}, "entry": entry}
    assert (said("5", gold), said("6", gold), said("", gold)) == ("right", "wrong", "unparseable")


@pytest.mark.parametrize(
    "gold",
    [
        "",
        {},
        {"rule": "chess"},
        {"rule": ["set"]},
        {"rule": "set"},
        {"rule": "set", "value": 3},
        {"rule": "latin", "rows": ["12", "1"]},
        {"rule": "latin", "rows": 4},
        {"rule": "latin", "rows": ["1_", "__"], "less": [[0, 9]]},
        {"rule": "brackets"},
    ],
)
def test_a_gold_without_its_parts_is_our_fault(gold: dict[str, Any] | str) -> None:
    with pytest.raises(BadGold):
        said("12/21" if "latin" in str(gold) else "]", gold)


@given(st.sampled_from(GOLDS), st.text())
def test_any_text_gets_a_word_and_spam_around_the_answer_is_not_right(case: tuple[dict[str, Any], str], text: str):
    gold, answer = case
    assert said(answer, gold) == "right"
    assert said(text, gold) in ("right", "wrong", "unparseable")
    assert said(f"{answer} or {text}x", gold) != "right"


@pytest.mark.parametrize(("gold", "answer"), GOLDS)
def test_long_answers_are_not_read(gold: dict[str, Any], answer: str) -> None:
    start = time.process_time()
    for text in (answer * 100_000, "(" * 1_000_000, f"{answer}{' ' * LONGEST}x", "__import__('os').abort()"):
        assert said(text, gold) != "right"
    assert time.process_time() - start < 0.5
