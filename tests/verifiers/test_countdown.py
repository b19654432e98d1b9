from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whet.verifiers.countdown import verify
from whet.verifiers.gold import BadGold

GOLD = json.dumps({"numbers": [3, 7, 11], "target": 32})


@pytest.mark.parametrize("text", ["3*7+11", "11+7*3", "(3*7)+11 = 32", "3 × 7 + 11", " 11 - -3*7 ", "7*3--11"])
def test_every_way_to_the_target_is_right(text: str):
    assert verify(text, GOLD) == "right"


@pytest.mark.parametrize(
    "text",
    ["32", "3+7+11", "3*7", "3*7+11+0", "3*7+11*1", "3*7+11=33", "3*7+11-3+3", "37-11", "11/(3-3)", "3*7*11/7-1"],
)
def test_another_value_or_other_numbers_are_wrong(text: str):
    assert verify(text, GOLD) == "wrong"


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "\n",
        "3*7+",
        "(3*7+11",
        "3*7+11)",
        "3 7 11",
        "3**7+11",
        "3//7",
        "x",
        "3*7+11 or 7",
        "1.0",
        "2(3)",
        "=32",
        "__import__('os').system('ls')",
        "(" * 100000,
        "-" * 100000,
        "1+" * 100000,
        "9" * 10000,
        "()",
        "10**10**10",
        "(" * 100 + "1" + ")" * 100,
        "-" * 400 + "3",
        "3*7+11 = 32 = 32",
    ],
)
def test_what_is_no_expression_is_unparseable_at_once(text: str):
    start = time.process_time()
    assert verify(text, GOLD) == "unparseable"
    assert time.process_time() - start < 0.5


def test_division_is_exact():
    assert verify("8/(3-8/3)", json.dumps({"numbers": [8, 8, 3, 3], "target": 24})) == "right"


def test_equal_numbers_are_each_used_once():
    gold = json.dumps({"numbers": [5, 5, 2], "target": 12})
    assert verify("5+5+2", gold) == "right"
    assert verify("5*2+2", gold) == "wrong"


@pytest.mark.parametrize("gold", ["", "32", "{}", '{"numbers": [1]}', '{"numbers": "ab", "target": 1}'])
def test_another_gold_is_our_fault(gold: str):
    with pytest.raises(BadGold):
        verify("1", gold)


@given(st.lists(st.integers(1, 99), min_size=2, max_size=5), st.data())
def test_any_expression_reaches_its_own_value(numbers: list[int], data: st.DataObject):
    text = str(numbers[0])
    for n in numbers[1:]:
        text = f"({text}{data.draw(st.sampled_from('+-*'))}{n})"
    gold = {"numbers": numbers[::-1], "target": eval(text)}
    assert verify(text, json.dumps(gold)) == "right"
    assert verify(text, json.dumps({**gold, "target": gold["target"] + 1})) == "wrong"
