from __future__ import annotations

import time
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whet.verifiers.gold import BadGold
from whet.verifiers.numeric import read, verify


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        ("-5", -5),
        ("−5", -5),
        ("+5", 5),
        ("1,234,567.50", Fraction(2469135, 2)),
        (".5", Fraction(1, 2)),
        ("5.", 5),
        ("$18.", 18),
        ("-$18", -18),
        ("$-18", -18),
        ("\\$18", 18),
        ("\\boxed{18}", 18),
        ("$\\boxed{-1,800.5}$", Fraction(-3601, 2)),
        ("**18**", 18),
        ("= 18", 18),
        ("18 km/h", 18),
        ("18 m^2", 18),
        ("18 apples.", 18),
        ("3/4", Fraction(3, 4)),
        ("-3 / 4", Fraction(-3, 4)),
        ("1 1/2 cups", Fraction(3, 2)),
        ("-1 1/2", Fraction(-3, 2)),
        ("1.5e3", 1500),
        ("2E-2", Fraction(1, 50)),
        ("2 million people", 2_000_000),
        ("007", 7),
    ],
)
def test_numbers_are_read_as_people_write_them(text: str, value: Fraction):
    found = read(text)
    assert found is not None
    assert found.value == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "\n",
        ".",
        "-",
        "abc",
        "1 2",
        "1, 2",
        "1,2",
        "1,23,4",
        "5 or 6",
        "1/0",
        "1 1/0",
        "1..2",
        "1.2.3",
        "5-3",
        "1e999999999",
        "1e-999999999",
        "1e401",
        "9" * 10000,
        "x = 5, y = 6",
        "it is 5",
        "5 is what I would say here",
        "٣",
        "1e",
        "inf",
        "nan",
        "0x10",
        "1_000",
        " ".join(map(str, range(100))),
    ],
)
def test_what_is_not_one_number_is_unparseable(text: str):
    assert verify(text, "5") in {"unparseable", "wrong"}
    if text != "1e":  # one, of something called e
        assert read(text) is None


def test_no_float_is_involved():
    assert verify("0.3", "3/10") == "right"
    assert verify("9007199254740993", "9007199254740992") == "wrong"
    assert verify("0.1000000000000000001", "0.1") == "wrong"


def test_tolerances_are_inclusive_and_exact():
    assert verify("1.01", "1", absolute=0.01) == "right"
    assert verify("1.010001", "1", absolute=0.01) == "wrong"
    assert verify("101", "100", relative=0.01) == "right"
    assert verify("-101", "-100", relative=0.01) == "right"
    assert verify("102", "100", relative=0.01) == "wrong"


def test_a_percent_sign_on_one_side_may_be_dropped_or_applied():
    assert [verify(answer, "50%") for answer in ("50%", "50 %", "50\\%", "50", "0.5", "1/2", "5")] == ["right"] * 6 + [
        "wrong"
    ]
    assert verify("50%", "0.5") == "right"
    assert verify("50%", "5000%") == "wrong"


def test_a_gold_that_is_no_number_is_our_fault():
    with pytest.raises(BadGold, match="one number"):
        verify("5", "five")


@given(st.integers(-(10**30), 10**30))
def test_every_whole_number_equals_itself_in_every_dress(n: int):
    for dress in ("{}", "{:,}", "${}", " {}.00 ", "{} apples", "**{}**"):
        assert verify(dress.format(n), str(n)) == "right"
        assert verify(dress.format(n), str(n + 1)) == "wrong"


@given(st.text(max_size=40))
def test_any_text_gets_a_verdict(text: str):
    assert verify(text, "5") in {"right", "wrong", "unparseable"}


@pytest.mark.parametrize("piece", [" ", "1", "1,", "$", "-", "1/", "1 ", "a", "*", ".", "1,111"])
def test_long_repetition_is_no_burden(piece: str):
    start = time.process_time()
    for length in (1200, 1_000_000):
        verify((piece * length)[:length], "5")
    assert time.process_time() - start < 1
