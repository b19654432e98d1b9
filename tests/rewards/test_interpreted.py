"""Whether an attempt used an interpreter, and what came of it."""

from __future__ import annotations

from whet.models.codec import Codec
from whet.models.tiny import character_tokenizer
from whet.rewards.interpreted import called, failed, fixed
from whet.types import Group, Problem, Trajectory

CODEC = Codec(character_tokenizer())
PROBLEM = Problem("p", "6*7=", "42")


def attempt(*heard: str) -> Trajectory:
    made = CODEC.open(PROBLEM, 500)
    for text in heard:
        made = CODEC.answer(made, "<code>...</code>", ends=False)
        made = CODEC.insert(made, f"<interpreter>{text}</interpreter>")
    return CODEC.answer(made, "<answer>42</answer>")


def test_calls_errors_and_what_came_after_them() -> None:
    error = "NameError: name 'a' is not defined"
    heard = [(), ("42",), (error,), (error, "42"), ("42", error), ("timed out", "42"), ("2\n" + error, error, "")]
    group = Group(PROBLEM, tuple(attempt(*texts) for texts in heard), "direct")
    assert called(group).tolist() == [0, 1, 1, 1, 1, 1, 1]
    assert failed(group).tolist() == [0, 0, 1, 1, 1, 1, 1]
    assert fixed(group).tolist() == [0, 0, 0, 1, 0, 1, 1]


def test_what_is_printed_amid_other_text_is_no_error() -> None:
    group = Group(PROBLEM, (attempt("no Error: 2"), attempt("error: 42"), attempt("42\nok")), "direct")
    assert failed(group).tolist() == [0, 0, 0]
