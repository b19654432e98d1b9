"""The reward for constraints met: its steps, its format, what is active, and what copying earns."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
import torch

from whet.contracts import check_reward
from whet.rewards.constraints import MetConstraints
from whet.rewards.format import TagFormat
from whet.rewards.verified import Verified
from whet.scoring import Weighted, totals
from whet.types import Group

HAS = {"type": "include", "keywords": ["cat"]}
RED = {"type": "starts", "text": "red"}
BLUE = {"type": "ends", "text": "blue"}
TWO = {"type": "length", "unit": "words", "exactly": 2}
RAIF = Weighted({"format": TagFormat(broken=-1, blank=("think",)), "accuracy": MetConstraints()})


def said(answer: str, thought: str = "so") -> str:
    return f"<think>{thought}</think><answer>{answer}</answer>"


def test_a_full_score_a_share_and_none(texts: Callable[..., Group]):
    group = texts(said("red cat"), said("a red cat"), said("a dog blue"), answer=[TWO, RED, HAS])
    assert MetConstraints()(group).tolist() == pytest.approx([2, 1 / 3, -2])
    four = texts(said("cat a b"), answer=[HAS, TWO, RED, BLUE])
    assert MetConstraints()(four).tolist() == [0.25]
    one = texts(said("cat"), answer=json.dumps(HAS))
    assert MetConstraints()(one).tolist() == [2]  # one that is met is all of them


def test_the_rewards_of_format_and_constraints_add_up(texts: Callable[..., Group]):
    group = texts(said("red dog"), "red cat", said("red cat"), said("dog"), answer=[RED, HAS])
    scored = asyncio.run(RAIF({}, group))
    assert totals(scored).tolist() == [1.5, -3, 3, -1]
    assert scored.terms["format"].tolist() == [1, -1, 1, 1]
    assert scored.terms["accuracy"].tolist() == [0.5, -2, 2, -2]


@pytest.mark.parametrize(
    "text", ["", "red cat", "<answer>red cat</answer>", f"{said('red cat')} so", "<think>so</think><answer>red cat"]
)
def test_constraints_are_looked_at_only_where_the_format_holds(texts: Callable[..., Group], text: str):
    assert totals(asyncio.run(RAIF({}, texts(text, answer=[RED, HAS])))).tolist() == [-3]


def test_a_branch_that_is_not_taken_is_in_no_count(texts: Callable[..., Group]):
    selection = {"type": "if", "condition": True, "then": RED, "else": {"type": "and", "parts": [BLUE, HAS, TWO]}}
    assert MetConstraints()(texts(said("red"), said("blue"), answer=selection)).tolist() == [2, -2]


def test_a_copied_instruction_earns_nothing_and_spam_little(texts: Callable[..., Group]):
    told = "the answer starts with red and contains the word cat and ends with blue"
    gold = {"constraints": [RED, HAS, BLUE], "instruction": told}
    group = texts(said(told), said("red cat blue"), said(told, told), answer=gold)
    assert MetConstraints()(group).tolist() == [-2, 2, -2]


def test_what_a_thought_says_is_no_answer(texts: Callable[..., Group]):
    assert MetConstraints()(texts(said("dog", thought="red cat"), answer=[RED, HAS])).tolist() == [-2]


def test_an_empty_block_of_thought_is_judged_alike(texts: Callable[..., Group]):
    forced = [("policy", "<think></think>"), ("policy", "<answer>red cat</answer>")]
    group = texts(forced, said("red cat", thought=""), answer=[RED, HAS])
    assert MetConstraints()(group).tolist() == [2, 2]
    assert MetConstraints(TagFormat())(group).tolist() == [-2, -2]


def test_what_nothing_is_active_in_raises_and_so_does_what_can_not_be_read(texts: Callable[..., Group]):
    never = {"type": "if", "condition": False, "then": RED}
    with pytest.raises(ValueError, match=r"'accuracy' on problem 'task/1': no constraint is active"):
        asyncio.run(RAIF({}, texts(said("red"), answer=never)))
    with pytest.raises(ValueError, match="rhyme"):
        asyncio.run(RAIF({}, texts(said("red"), answer=[{"type": "rhyme"}])))


@pytest.mark.filterwarnings("ignore:verifier 'constraints' failed")
def test_the_verifier_says_right_and_with_a_grade_the_share(texts: Callable[..., Group]):
    group = texts(said("red cat"), said("red"), "cat", said(" "), answer=[RED, HAS])
    plain = asyncio.run(Verified("constraints")(group))
    assert plain.values.tolist() == [1, 0, 0, 0]
    assert plain.outcomes == ("right", "wrong", "unparseable", "unparseable")
    graded = asyncio.run(Verified("constraints", options={"graded": True})(group))
    assert graded.values.tolist() == [1, 0.5, 0, 0]
    failed = asyncio.run(Verified("constraints")(texts(said("red"), answer=[{"type": "case", "case": "mixed"}])))
    assert failed.outcomes == ("failed",) and bool(failed.values.isnan().all())


def test_other_steps_and_formats_can_be_asked_for(texts: Callable[..., Group]):
    term = MetConstraints(TagFormat(("answer",)), full=1, none=0)
    group = texts("<answer>red cat</answer>", "<answer>red</answer>", "<answer>dog</answer>", "red", answer=[RED, HAS])
    assert torch.equal(term(group), torch.tensor([1, 0.5, 0, 0]))


def test_it_keeps_the_promises_of_a_reward(texts: Callable[..., Group]):
    answers: list[Any] = [said("red cat"), said("\0\ud800"), "", said("red"), said("<answer>")]
    check_reward(MetConstraints(), [texts(*answers, answer=[RED, HAS])])
