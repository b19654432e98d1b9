from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from whet.rewards.text import boxed, extracted, final, response, tagged
from whet.types import Group


def test_the_response_is_what_the_policy_wrote(texts: Callable[..., Group]):
    said = [("policy", "a"), ("policy", "b"), ("env", "result"), ("policy", "c")]
    (attempt,) = texts(said).trajectories
    assert response(attempt) == "ab\nc"
    assert response(texts([]).trajectories[0]) == ""


def test_a_thought_that_the_template_opened_is_put_back(texts: Callable[..., Group]):
    (attempt,) = texts("so</think>5", opened="<think>\n").trajectories
    assert response(attempt) == "<think>so</think>5"
    (turns,) = texts([("policy", "a"), ("env", "r<think>"), ("policy", "b")]).trajectories
    assert response(turns) == "a\n<think>b"


def test_the_last_closed_tag_counts():
    assert tagged("<answer>1</answer> no, <answer> 2 </answer>") == "2"
    assert tagged("<answer>1</answer> <answer>2") == "1"
    assert tagged("<answer>1 <answer>2</answer>") == "2"
    assert tagged("<answer></answer>") == ""
    assert tagged("<note>x</note>", "note") == "x"
    for text in ("", "<answer>1", "1</answer>", "</answer><answer>"):
        assert tagged(text) is None


def test_the_last_balanced_box_counts():
    assert boxed(r"\boxed{1} so \boxed{\frac{1}{2}}") == r"\frac{1}{2}"
    assert boxed(r"\boxed{\boxed{5}}") == r"\boxed{5}"
    assert boxed(r"{ \boxed{5} and \boxed{6") == "5"
    assert boxed(r"\boxed {\{1, 2\}}") == r"\{1, 2\}"
    assert boxed(r"\boxed{}") == ""
    for text in ("", r"\boxed5", r"\boxed{", "{5}", r"\\boxed", "}"):
        assert boxed(text) is None


def test_the_final_answer_stands_behind_the_thought():
    assert final("<think><answer>1</answer></think> \\boxed{2}") == "2"
    assert final("\\boxed{1}<answer>2</answer>") == "2"
    assert final("<think>1</think> 2 ") == "2"
    assert final("<think>1</think> 2 ", whole=False) is None


def test_each_way_to_extract_looks_in_its_place():
    text = "x \\boxed{1} <answer>2</answer>"
    assert [extracted(text, how) for how in ("answer", "boxed", "final", "all")] == ["2", "1", "2", text]


@pytest.mark.parametrize(
    "piece", ["\\boxed{", "<answer>", "</answer>", "{", "}", "\\", "\\boxed ", "\\boxed" + " " * 50]
)
def test_long_repetition_is_no_burden(piece: str):
    text = (piece * 300_000)[:300_000]
    start = time.process_time()
    extracted(text, "answer")
    extracted(text, "final")
    assert time.process_time() - start < 4
