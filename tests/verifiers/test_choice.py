from __future__ import annotations

import time

import pytest

from whet.verifiers.choice import letter, verify
from whet.verifiers.gold import BadGold


@pytest.mark.parametrize(
    "text",
    [
        "B",
        "b",
        "(B)",
        "[B]",
        "**B**",
        "B.",
        "B)",
        "(b).",
        "\\boxed{B}",
        "\\boxed{\\text{B}}",
        "$B$",
        "'B'",
        "B) Paris",
        "(B) Paris",
        "B: A city",
        "B. It is A thing",
        "The answer is B",
        "the answer is (B), as shown",
        "Answer: B",
        "A is tempting, but the answer is **B**.",
        "answer: \\boxed{B}",
    ],
)
def test_letters_are_found_in_their_common_dress(text: str):
    assert letter(text) == "B"
    assert verify(text, "B") == "right"
    assert verify(text, "(A)") == "wrong"


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "\n",
        "F",
        "5",
        "AB",
        "A B C D E",
        "A, B, C, D",
        "A) x B) y",
        "(A) (B) (C)",
        "Because it is",
        "A cat",
        "the answer is A, or the answer is B",
        "none",
    ],
)
def test_no_letter_or_several_are_unparseable(text: str):
    assert letter(text) is None
    assert verify(text, "A") == "unparseable"


def test_other_letters_can_be_asked_for():
    assert verify("F", "F", letters="FGHJ") == "right"
    with pytest.raises(ValueError, match="distinct capital"):
        verify("a", "a", letters="abc")


def test_a_gold_without_letter_is_our_fault():
    with pytest.raises(BadGold):
        verify("A", "Paris")


@pytest.mark.parametrize("piece", ["A", "A) ", "(", "answer ", "answer is ", "*", " ", "answer is ****"])
def test_long_repetition_is_no_burden(piece: str):
    start = time.process_time()
    letter((piece * 1_000_000)[:1_000_000])
    assert time.process_time() - start < 3
