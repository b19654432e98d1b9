from __future__ import annotations

import json
from pathlib import Path

import pytest

from whet.verifiers.gold import BadGold
from whet.verifiers.math import verify


@pytest.mark.parametrize(
    ("answer", "gold"),
    [
        ("\\frac{1}{2}", "0.5"),
        ("1/2", "\\dfrac12"),
        ("\\boxed{x+1}", "1+x"),
        ("so it is $\\sqrt{8}$", "2\\sqrt{2}"),
        ("{2, 1}", "\\{1,2\\}"),
        ("The answer is 18.", "18"),
        ("1,234", "1234"),
        ("(1, 2)", "$(1,2)$"),
        ("18 \\text{ cm}", "18"),
    ],
)
def test_equal_expressions_are_right(answer: str, gold: str):
    assert verify(answer, gold) == "right"


@pytest.mark.parametrize(
    ("answer", "gold"), [("0.5", "1/3"), ("x", "x+1"), ("(2, 1)", "(1, 2)"), (" ".join(map(str, range(30))), "18")]
)
def test_different_expressions_are_wrong(answer: str, gold: str):
    assert verify(answer, gold) == "wrong"


@pytest.mark.parametrize("blank", ["", " ", "\n"])
def test_a_blank_answer_is_unparseable(blank: str):
    assert verify(blank, "18") == "unparseable"


@pytest.mark.parametrize("garbage", ["???", "((((1", "x^2+", "\\frac{1}{", "="])
def test_what_is_no_expression_is_unparseable(garbage: str):
    assert verify(f"\\boxed{{{garbage}}}", "18") == "unparseable"


def test_a_list_of_guesses_scores_nothing():
    assert verify(", ".join(map(str, range(30))), "18") == "wrong"


def test_a_blank_gold_is_our_fault():
    with pytest.raises(BadGold):
        verify("18", " ")


def test_gsm8k_answers_are_right_and_one_more_is_wrong(shared_data: Path):
    file = shared_data / "gsm8k" / "test.jsonl"
    if not file.is_file():
        pytest.skip("no GSM8K beside the checkout")
    lines = file.read_text(encoding="utf-8").splitlines()[::9]
    for gold in (json.loads(line)["answer"].rpartition("####")[2].strip() for line in lines):
        assert verify(gold, gold) == "right"
        assert verify(f"\\boxed{{{gold}}}", gold) == "right"
        assert verify(str(int(gold.replace(",", "")) + 1), gold) == "wrong"
        assert verify("", gold) == "unparseable"


def test_brackets_too_deep_are_seen_at_once():
    assert verify("(" * 101 + "1" + ")" * 101, "1") == "unparseable"
    assert verify("(" * 20 + "1" + ")" * 20, "1") == "right"
    assert verify("(" * 10_000, "\\frac{1}{2}") == "unparseable"
