"""One JSON object with certain fields and nothing else."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from whet.rewards.structured import BareObject, FieldLength, RequiredKeys, RightField, ValidJson
from whet.rewards.verified import Verified
from whet.scoring import Weighted, totals
from whet.tasks.json_problems import JsonProblems
from whet.types import Group

TERMS = {
    "structure": RequiredKeys(),
    "format": BareObject(),
    "validity": ValidJson(),
    "correct": RightField(),
    "length": FieldLength(),
}
REWARD = Weighted(TERMS, weights={"length": 0.5})
GOOD = '{"reasoning":"r","answer":"4"}'


def judged(group: Group) -> list[list[float]]:
    """Per attempt: structure, format, validity, correct, length, and the reward."""
    scored = asyncio.run(REWARD({}, group))
    columns = [*(scored.terms[name] for name in TERMS), totals(scored)]
    return torch.stack(columns, 1).tolist()


def said(**fields: object) -> str:
    return json.dumps(fields)


def test_a_good_object_has_all_terms_and_4_5_in_total(texts: Callable[..., Group]):
    assert judged(texts(GOOD, f"\n {GOOD} \n", answer="4")) == [[1, 1, 1, 1, 1, 4.5]] * 2


def test_a_code_fence_loses_format_and_validity(texts: Callable[..., Group]):
    fences = (f"```json\n{GOOD}\n```", f"```\n{GOOD}\n```", f"{GOOD}\n```")
    assert judged(texts(*fences, answer="4")) == [[0, 0, 0, 0, 0, 0]] * 3


def test_a_key_too_many_costs_a_quarter(texts: Callable[..., Group]):
    extra = [said(reasoning="r", answer="4", **{f"x{i}": 0 for i in range(n)}) for n in range(1, 6)]
    found = judged(texts(*extra, answer="4"))
    assert [row[0] for row in found] == [0.75, 0.5, 0.25, 0, 0]
    assert found[0] == [0.75, 1, 1, 1, 1, 4.25]


def test_without_the_answer_half_the_structure_is_there_and_nothing_is_right(texts: Callable[..., Group]):
    assert judged(texts('{"reasoning":"r"}', answer="4")) == [[0.5, 1, 1, 0, 1, 3]]
    assert judged(texts('{"reasoning":"r","result":"4"}', answer="4")) == [[0.25, 1, 1, 0, 1, 2.75]]


def test_an_empty_response_has_nothing(texts: Callable[..., Group]):
    assert judged(texts("", " ", "\n", answer="4")) == [[0] * 6] * 3


def test_a_value_that_is_no_object_is_valid_and_no_more(texts: Callable[..., Group]):
    assert judged(texts("[]", "1", "null", '"4"', "true", answer="4")) == [[0, 0, 1, 0, 0, 1]] * 5
    assert judged(texts("{}", answer="4")) == [[0, 1, 1, 0, 0, 2]]


def test_a_key_that_comes_twice_is_not_valid(texts: Callable[..., Group]):
    twice = ('{"a":1,"a":2}', '{"reasoning":"r","answer":"4","answer":"4"}')
    assert judged(texts(*twice, answer="4")) == [[0, 1, 0, 0, 0, 1]] * 2


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_what_only_python_takes_for_json_is_not_valid(texts: Callable[..., Group], number: str):
    assert judged(texts(f'{{"reasoning":"r","answer":{number}}}', answer="4")) == [[0, 1, 0, 0, 0, 1]]


def test_prose_around_the_object_loses_everything(texts: Callable[..., Group]):
    assert judged(texts(f"Sure: {GOOD}", f"{GOOD} Done.", GOOD[:-1], answer="4")) == [[0] * 6] * 3


def test_a_value_of_another_type_is_not_the_key_that_is_required(texts: Callable[..., Group]):
    wrong = (said(reasoning="r", answer=4), said(reasoning=None, answer="4"), said(reasoning=["r"], answer=True))
    assert [row[0] for row in judged(texts(*wrong, answer="4"))] == [0.5, 0.5, 0]
    typed = RequiredKeys({"a": "integer", "b": "array", "c": "boolean", "d": "null"})
    assert typed(texts('{"a":1.0,"b":[],"c":true,"d":null}', '{"a":true,"b":{},"c":0,"d":""}')).tolist() == [1, 0]


def test_broken_json_earns_structure_only_where_that_is_lenient(texts: Callable[..., Group]):
    broken = (GOOD[:-1], f"Sure: {GOOD}", '{"reasoning":"r","result":"4"', '{"reasoning":"r', '{"answer": 4', "", "{")
    group = texts(*broken, answer="4")
    assert RequiredKeys()(group).tolist() == [0] * 7
    assert RequiredKeys(lenient=True)(group).tolist() == [1, 1, 0.25, 0.5, 0, 0, 0]
    assert RequiredKeys(lenient=True)(texts(GOOD, "[]")).tolist() == [1, 0]


def test_the_answer_is_compared_by_value_and_its_own_json_is_parsed(texts: Callable[..., Group]):
    right = RightField()
    ways = [said(answer=a) for a in ("4", " 4 ", "4.0", 4, 4.0, "04", "four", True, None, [4], "4 or 5", "[4")]
    assert right(texts(*ways, answer="4")).tolist() == [1] * 5 + [0] * 7
    assert right(texts(*ways, answer=4)).tolist() == [1] * 5 + [0] * 7
    inside = [said(answer=a) for a in ('{"x":1.0}', {"x": 1}, "{'x':1}", '{"x":1')]
    assert right(texts(*inside, answer={"x": 1})).tolist() == [1, 1, 0, 0]
    words = [said(answer=a) for a in ("Paris", " Paris ", "paris", "Paris or Rome")]
    assert right(texts(*words, answer="Paris")).tolist() == [1, 1, 0, 0]


def test_broken_json_in_the_answer_is_an_error_of_content_and_not_of_validity(texts: Callable[..., Group]):
    escaped = '{"reasoning":"r","answer":"[\\"a\\", \\"b\\""}'
    assert judged(texts(escaped, answer=["a", "b"])) == [[1, 1, 1, 0, 1, 3.5]]


def test_a_list_earns_its_token_f1(texts: Callable[..., Group]):
    answers = (["a", "b"], ["b", "a"], ["a"], ["a", "c"], ["a", "b", "c", "d"], [], "a b", '["a", "b"]')
    values = RightField()(texts(*(said(answer=a) for a in answers), answer=["a", "b"])).tolist()
    assert values == pytest.approx([1, 1, 2 / 3, 0.5, 2 / 3, 0, 0, 1])


def test_length_falls_to_0_within_half_the_width_outside(texts: Callable[..., Group]):
    term = FieldLength(least=10, most=20)  # half the width is 5
    counts = (10, 20, 9, 5, 6, 22, 24, 25, 100)
    values = term(texts(*(said(reasoning="x" * n, answer="4") for n in counts))).tolist()
    assert values == pytest.approx([1, 1, 0.8, 0, 0.2, 0.6, 0.2, 0, 0])
    exact = FieldLength(least=3, most=3)
    assert exact(texts(*(said(reasoning="x" * n) for n in (2, 3, 4)))).tolist() == [0, 1, 0]


def test_an_empty_reasoning_is_worth_nothing_however_near_0_is(texts: Callable[..., Group]):
    empty = [said(reasoning=r, answer="4") for r in ("", "   ", "\n" * 20, 7, None)] + [said(answer="4" * 20)]
    assert FieldLength(least=1, most=60)(texts(*empty)).tolist() == [0] * 6
    assert FieldLength(least=0, most=60)(texts(*empty)).tolist() == [0] * 6
    padded = said(reasoning=" " * 50 + "x" + " " * 50)
    assert FieldLength(least=5, most=9)(texts(padded)).tolist() == [0]


def test_gold_demonstrations_score_full_and_broken_ones_lose_what_they_break(texts: Callable[..., Group]):
    whole, broken = JsonProblems(), JsonProblems(broken=1.0)
    lost = {"brace": [0] * 6, "prose": [0] * 6, "key": [0.25, 1, 1, 0, 1, 2.75]}
    for i in range(40):
        problem = whole.problem("train", i)
        assert judged(texts(problem.info["solution"], answer=problem.answer)) == [[1, 1, 1, 1, 1, 4.5]]
        problem = broken.problem("train", i)
        assert judged(texts(problem.info["solution"], answer=problem.answer)) == [lost[problem.info["broken"]]]


def test_spam_that_holds_the_answer_earns_nothing(texts: Callable[..., Group]):
    spam = [" ".join(map(str, range(100))), GOOD * 3, f"[{GOOD}]", '"answer": "4" ' * 50, "<answer>4</answer>"]
    found = torch.tensor(judged(texts(*spam, answer="4")))
    assert found[:, [0, 3, 4]].sum() == 0


HOSTILE = (
    "[" * 100_000,
    '{"a":' * 20_000,
    "9" * 100_000,
    '{"answer":' + "9" * 5000 + "}",
    '{"answer":1e999}',
    '{"answer":"' + "[" * 90_000 + '"}',
    '"\\"' * 30_000,
    '"a" ' * 25_000,
    ('"a"' + " " * 500) * 190,
    "\x00",
    "\ud800",
    '{"answer":"\\ud800","reasoning":"\\u0000"}',
    "x" * 2_000_000,
)


def test_hostile_texts_are_judged_at_once(texts: Callable[..., Group]):
    group = texts(*HOSTILE, answer="4")
    start = time.process_time()
    assert [row[3] for row in judged(group)] == [0] * len(HOSTILE)
    RequiredKeys(lenient=True)(group)
    assert time.process_time() - start < 5


@given(st.text(alphabet='{}[]",:\\ aeinorsw14', max_size=60))
def test_any_text_gets_terms_between_0_and_1(texts: Callable[..., Group], text: str):
    (row,) = judged(texts(text, answer="4"))
    assert all(0 <= value <= 1 for value in row[:5])
    assert row[5] == pytest.approx(sum(row[:4]) + 0.5 * row[4])
    assert 0 <= RequiredKeys(lenient=True).share(text) <= 1


def test_a_problem_without_answer_is_named(texts: Callable[..., Group]):
    with pytest.raises(ValueError, match="'task/1' has no answer"):
        RightField()(texts(GOOD))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: RequiredKeys({}), "is empty"),
        (lambda: RequiredKeys({"a": "str"}), "'a' a type of object, .*, got 'str'"),
        (lambda: RequiredKeys(unexpected=-1), "0 or more, got -1"),
        (lambda: FieldLength(least=5, most=4), "got 5 and 4"),
        (lambda: replace(FieldLength(), least=-1), "got -1"),
    ],
)
def test_wrong_settings_are_errors_before_any_work(make: Callable[[], object], says: str):
    with pytest.raises(ValueError, match=says):
        make()


def test_the_verifier_grades_the_same_objects_by_key(texts: Callable[..., Group]):
    wanted = {"value": {"reasoning": "r", "answer": "4"}}
    term = Verified("json_schema", extract="all", options={"grade": True})
    found = asyncio.run(term(texts(GOOD, said(answer="4", reasoning="x"), f"```{GOOD}```", "", answer=wanted)))
    assert found.values.tolist() == [1, 0.5, 0, 0]
    assert found.outcomes == ("right", "wrong", "unparseable", "unparseable")
