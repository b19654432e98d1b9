from __future__ import annotations

from typing import Any

import pytest

from whet.tasks.columns import Columns, find_columns, lookup, missing

VERL = {
    "data_source": "openai/gsm8k",
    "prompt": [{"role": "user", "content": "1+1?"}],
    "reward_model": {"style": "rule", "ground_truth": "2"},
    "extra_info": {"split": "train", "index": 0},
}


@pytest.mark.parametrize(
    ("first", "found"),
    [
        ({"question": "q", "answer": "a"}, Columns("question", "answer")),
        ({"id": 1, "Problem": "q", "Solution": "s", "Answer": "a"}, Columns("Problem", "Answer")),
        ({"input": "q", "target": "a"}, Columns("input", "target")),
        (VERL, Columns("prompt", "reward_model.ground_truth", "extra_info.answer")),
        ({**VERL, "reward_model": None}, Columns("prompt", "reward_model.ground_truth", "extra_info.answer")),
    ],
)
def test_columns_are_found_by_their_names(first: dict[str, Any], found: Columns) -> None:
    assert find_columns(first, "", None, "x.jsonl") == found


def test_what_is_given_is_taken_as_it_is() -> None:
    assert find_columns({"a": "q", "b": "1"}, "a", "b", "x") == Columns("a", "b")
    assert find_columns({"question": "q"}, "", "", "x") == Columns("question", "")
    assert find_columns(VERL, "", "extra_info.index", "x") == Columns("prompt", "extra_info.index")


def test_a_column_is_not_prompt_and_answer_at_once() -> None:
    assert find_columns({"solution": "s", "answer": "a"}, "answer", None, "x") == Columns("answer", "solution")


def test_columns_that_can_not_be_told_are_an_error_unless_nobody_needs_them() -> None:
    with pytest.raises(ValueError, match=r"x: which column is it\? the columns are a, b.c; say it with --prompt"):
        find_columns({"a": "q", "b": {"c": "1"}}, "", None, "x")
    with pytest.raises(ValueError, match="say it with --answer"):
        find_columns({"question": "q", "b": "1"}, "", None, "x")
    assert find_columns({"question": "q", "b": "1"}, "", None, "x", needed=False).answer == ""


def test_a_path_leads_into_nested_columns_and_a_name_with_dots_comes_first() -> None:
    assert lookup(VERL, "reward_model.ground_truth") == "2"
    assert lookup({"a.b": 1, "a": {"b": 2}}, "a.b") == 1
    for wrong in ("reward_model.truth", "prompt.role", "none"):
        with pytest.raises(KeyError):
            lookup(VERL, wrong)


def test_the_nearest_column_is_named() -> None:
    said = missing(VERL, "reward_model.groundtruth")
    assert said.startswith("no column 'reward_model.groundtruth'; its columns are data_source, prompt, ")
    assert said.endswith("did you mean 'reward_model.ground_truth'?")
