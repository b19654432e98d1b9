from __future__ import annotations

import time

import pytest

from whet.verifiers.assignment import verify
from whet.verifiers.gold import BadGold

GOLD = "Ann=knight, Bob=knave"


@pytest.mark.parametrize(
    "text",
    [
        "Ann=knight, Bob=knave",
        "bob = KNAVE; ann = Knight",
        "Ann: knight\nBob: knave.",
        "Ann is a knight and Bob is a knave",
        "(1) Ann is a knight\n(2) Bob is a knave",
        "**Ann**: knight, **Bob**: knave",
        "Ann=knight, Bob=knave, ann=knight",
    ],
)
def test_order_case_and_wording_do_not_matter(text: str):
    assert verify(text, GOLD) == "right"


@pytest.mark.parametrize("text", ["Ann=knave, Bob=knight", "Ann=knight", "Ann=knight, Bob=knave, Cem=knight", "a=b"])
def test_other_roles_or_names_are_wrong(text: str):
    assert verify(text, GOLD) == "wrong"


@pytest.mark.parametrize("text", ["", " ", "\n", ",;,", "knight knave", "Ann=, Bob=knave", "=knight", "A" * 1_000_000])
def test_what_is_no_list_of_pairs_is_unparseable(text: str):
    start = time.process_time()
    assert verify(text, GOLD) == "unparseable"
    assert time.process_time() - start < 0.5


def test_naming_every_role_for_everyone_scores_nothing():
    assert verify("Ann=knight, Ann=knave, Bob=knight, Bob=knave", GOLD) == "unparseable"


def test_another_gold_is_our_fault():
    with pytest.raises(BadGold):
        verify(GOLD, "Ann and Bob")
