"""The rewards that see no answer key: what can be read, and their sum with format and length."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from whet.advantages.group_mean import GroupMean
from whet.filters.mixed import Mixed
from whet.metrics.scored import training_metrics
from whet.rewards.format import TagOccurs
from whet.rewards.length import PeakedLength
from whet.rewards.parseable import Parseable
from whet.scoring import Weighted
from whet.types import Group, Problem, Row, Scored, Trajectory, Turn
from whet.verifiers import pool


def judged(term: Parseable, group: Group) -> list[tuple[float, str]]:
    values, outcomes, _ = asyncio.run(term(group))
    return list(zip(values.tolist(), outcomes, strict=True))


def test_a_boxed_expression_is_parsed_whatever_it_says(texts: Callable[..., Group]):
    group = texts("so \\boxed{5}", "\\boxed{\\frac{1}{2}}", "\\boxed{x+1} and \\boxed{0}")
    assert judged(Parseable(), group) == [(1, "parsed")] * 3


def test_no_box_an_empty_one_and_garbage_are_unparseable(texts: Callable[..., Group]):
    group = texts(
        "", "5", "\\boxed{}", "\\boxed{ }", "\\boxed{5", "\\boxed{???}", "\\boxed{x^2+}", "<answer>5</answer>"
    )
    assert judged(Parseable(), group) == [(0, "unparseable")] * 8


@pytest.mark.parametrize(
    ("verifier", "answer", "garbage"), [("numeric", "$1,200.50", "5 or 6"), ("gsm8k", "#### 7", "#### seven")]
)
def test_any_verifier_says_what_can_be_read(verifier: str, answer: str, garbage: str, texts: Callable[..., Group]):
    term = Parseable(verifier, extract="all")
    assert judged(term, texts(answer, garbage)) == [(1, "parsed"), (0, "unparseable")]


def test_a_verifier_of_puzzles_wants_a_reference_that_it_can_read(texts: Callable[..., Group]):
    term = Parseable("countdown", extract="answer", gold='{"numbers": [1], "target": 1}')
    group = texts("<answer>4 + 3</answer>", "<answer>4 +</answer>")
    assert judged(term, group) == [(1, "parsed"), (0, "unparseable")]


@pytest.mark.parametrize("answer", [None, "5", "not a number", {"any": "thing"}])
def test_the_problems_own_answer_changes_nothing(answer: Any, texts: Callable[..., Group]):
    group = texts("\\boxed{5}", "\\boxed{6}", "5", answer=answer)
    assert judged(Parseable(), group) == [(1, "parsed"), (1, "parsed"), (0, "unparseable")]
    assert group.problem.answer == answer


def test_what_breaks_the_verifier_is_zero_and_our_failure_is_nan(
    texts: Callable[..., Group], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(pool, "_shared", pool.Pool(workers=1, deadline=0.5))
    (tmp_path / "own.py").write_text(
        "import os\n\ndef verify(answer, gold):\n"
        "    if answer == 'loop':\n        while True: pass\n"
        "    if answer == 'exit': os._exit(1)\n"
        "    if answer == 'import': import there_is_no_such_module\n"
        "    return 'wrong'\n"
    )
    term = Parseable(f"{tmp_path}/own.py:verify", extract="all")
    with pytest.warns(RuntimeWarning, match="there_is_no_such_module"):
        found = judged(term, texts("loop", "exit", "5", "import"))
    pool.shared().close()
    assert found[:3] == [(0, "timed out"), (0, "crashed"), (1, "parsed")]
    assert found[3][1] == "failed" and math.isnan(found[3][0])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"verifier": "maths"}, "did you mean math"),
        ({"extract": "box"}, "must be one of"),
        ({"verifier": "numeric", "options": {"cas": 1}}, "no option 'cas'"),
    ],
)
def test_wrong_settings_are_errors_before_any_work(arguments: dict[str, Any], says: str):
    with pytest.raises(ValueError, match=says):
        Parseable(**arguments)


# -- the sum of the paper ---------------------------------------------------------------------------------------------

THOUGHT, BOX = "<think>hm</think>", "\\boxed{5}"
LIMIT = 100
FORMAT = Weighted({"soft": TagOccurs(), "parseable": Parseable()}, weights={"soft": 0.5, "parseable": 0.5})
FORMAT_LENGTH = Weighted(
    {"soft": TagOccurs(), "parseable": Parseable(), "length": PeakedLength(0.5, LIMIT, earned=Parseable())},
    weights={"soft": 0.5, "parseable": 0.5},
    gates={"soft": "parseable"},
)


def said(*attempts: tuple[str, int]) -> Group:
    """Attempts of a text and so many sampled tokens, at a problem that has no answer."""
    problem = Problem("p", "?", None)
    made = []
    for text, count in attempts:
        sampled = torch.arange(count + 1) > 0
        none = torch.zeros(count + 1)
        row = Row(torch.ones(count + 1, dtype=torch.long), sampled, sampled, none, none.int())
        made.append(Trajectory(problem, (row,), (Turn("prompt", "?", 0, 0, 1), Turn("policy", text, 0, 1, count + 1))))
    return Group(problem, tuple(made))


def total(reward: Weighted, *attempts: tuple[str, int]) -> list[float]:
    return [float(tokens.sum()) for tokens in scored(reward, *attempts).rewards]


def scored(reward: Weighted, *attempts: tuple[str, int]) -> Scored:
    return asyncio.run(reward({}, said(*attempts)))


@pytest.mark.parametrize(
    ("text", "tokens", "reward"),
    [
        (THOUGHT + BOX, 25, 1.75),
        (THOUGHT, 25, 0.0),
        (THOUGHT, 100, -1.0),
        ("", 100, -1.0),
        (BOX, 100, -0.5),
        ("", 0, 0.0),
        (THOUGHT + BOX, 50, 2.0),
        (THOUGHT + BOX, 75, 1.5),
        (THOUGHT + "\\boxed{}", 50, 0.0),
        (THOUGHT + BOX, 101, 0.0),
        (THOUGHT + "x" * 1000 + BOX, 25, 1.75),
    ],
)
def test_the_format_and_length_reward_of_the_paper(text: str, tokens: int, reward: float):
    assert total(FORMAT_LENGTH, (text, tokens)) == [reward]


def test_the_format_reward_of_the_paper():
    attempts = [(THOUGHT + BOX, 25), (THOUGHT, 25), (BOX, 100), ("", 0), (THOUGHT + "\\boxed{}", 50)]
    assert total(FORMAT, *attempts) == [1.0, 0.5, 0.5, 0.0, 0.5]


def test_without_the_gate_on_an_answer_long_talk_would_be_paid():
    ungated = replace(FORMAT_LENGTH, terms={**FORMAT_LENGTH.terms, "length": PeakedLength(0.5, LIMIT)}, gates={})
    assert total(ungated, (THOUGHT, 25)) == [1.25]


def test_attempts_that_look_alike_teach_nothing():
    same = scored(FORMAT_LENGTH, *[(THOUGHT + BOX, 33)] * 4)
    assert not any(advantage.any() for advantage in GroupMean()([same]).advantages[0])
    assert Mixed()([same]) == []


def test_what_was_parsed_is_not_counted_as_right_or_wrong():
    groups = [scored(FORMAT, (THOUGHT + BOX, 9), (BOX, 9)), scored(FORMAT, (THOUGHT + BOX, 9), ("", 9))]
    found = training_metrics(groups)
    assert found["outcome/parseable/parsed"] == 0.75
    assert found["groups/mixed"] == 1 and found["groups/all_right"] == found["groups/all_wrong"] == 0
    assert found.get("outcome/right", 0.0) == 0
