from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from whet.verifiers import gsm8k, numeric
from whet.verifiers.gold import BadGold


def test_the_number_behind_the_last_mark_counts():
    assert gsm8k.verify("2 + 2 = 4\n#### 18", "#### 18") == "right"
    assert gsm8k.verify("#### 17\n#### $1,018.00 \nDone.", "1018") == "right"
    assert gsm8k.verify("#### 18\n#### 17", "18") == "wrong"
    assert gsm8k.verify("18 ####", "18") == "unparseable"
    assert gsm8k.verify("#### 17 18", "18") == "unparseable"


def test_without_a_mark_the_last_number_counts():
    assert gsm8k.verify("First 16 - 3 = 13. So she makes $18.", "18") == "right"
    assert gsm8k.verify("18 is not 19", "18") == "wrong"
    assert gsm8k.verify("10-3", "3") == "right"
    assert gsm8k.verify("it is -3.", "-3") == "right"
    assert gsm8k.verify("1,000, I think", "1000") == "right"


@pytest.mark.parametrize("blank", ["", " ", "\n", "no idea", "####"])
def test_no_number_is_unparseable(blank: str):
    assert gsm8k.verify(blank, "18") == "unparseable"


def test_a_list_of_guesses_scores_nothing():
    assert gsm8k.verify(" ".join(map(str, range(100))), "18") == "wrong"


def test_a_gold_without_number_is_our_fault():
    with pytest.raises(BadGold):
        gsm8k.verify("18", "eighteen")


@pytest.mark.parametrize("piece", ["1", "1,", "-", "1 ", "$", "1.", "#", "#### ", ".1", "1/"])
def test_long_repetition_is_no_burden(piece: str):
    start = time.process_time()
    gsm8k.verify((piece * 1_000_000)[:1_000_000], "5")
    assert time.process_time() - start < 3


@pytest.fixture(scope="module")
def golds(shared_data: Path) -> list[str]:
    file = shared_data / "gsm8k" / "test.jsonl"
    if not file.is_file():
        pytest.skip("no GSM8K beside the checkout")
    return [json.loads(line)["answer"] for line in file.read_text(encoding="utf-8").splitlines()]


def test_every_gsm8k_answer_is_right_and_one_more_is_wrong(golds: list[str]):
    assert len(golds) == 1319
    for gold in golds:
        number = gold.rpartition("####")[2].strip()
        more = str(int(number.replace(",", "")) + 1)
        for verify, reference in ((gsm8k.verify, gold), (numeric.verify, number)):
            assert verify(number, reference) == "right"
            assert verify(more, reference) == "wrong"
            assert verify("", reference) == verify(" \n", reference) == "unparseable"
        assert gsm8k.verify(gold, gold) == "right"
        assert gsm8k.verify(f"The total is {more}.", gold) == "wrong"
