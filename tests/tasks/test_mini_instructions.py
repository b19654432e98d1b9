"""A small world of instructions: every one can be met, compositions are held out, and copying earns nothing."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from helpers.examples import attempt, group, row
from hypothesis import given, settings
from hypothesis import strategies as st

from whet.contracts import check_task
from whet.models.tiny import TinyQwen
from whet.rewards.constraints import MetConstraints
from whet.rewards.format import TagFormat
from whet.rewards.text import tagged
from whet.rewards.verified import Verified
from whet.stages.sft import worked
from whet.tasks.mini_instructions import CATEGORIES, VOCABULARY, WORDS, MiniInstructions, category
from whet.types import Problem
from whet.verifiers.constraints import active, read, verify

TASK = MiniInstructions()
SPLITS = ("train", "validation", "test")


def told(problem: Problem) -> str:
    prompt: Any = problem.prompt
    return prompt[0]["content"]


def depth(constraint: dict[str, Any]) -> int:
    """How deep a constraint is composed; an atom beside a composition makes it no deeper."""
    inner = [*constraint.get("parts", ()), *(constraint[name] for name in ("then", "else") if name in constraint)]
    deeper = constraint["type"] in ("chain", "if")
    return max([depth(part) + deeper for part in inner], default=1)


def test_the_vocabulary_has_sixty_words_and_each_a_category():
    assert len(VOCABULARY) == len(set(VOCABULARY)) == 60 and len(set(WORDS)) == len(WORDS)
    assert Counter(category(word) for word in VOCABULARY) == dict.fromkeys(CATEGORIES, 10)
    assert category("cat") == "animal" and category("then") is None and category("animal") is None


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(SPLITS), st.integers(0, 10**6))
def test_both_solutions_meet_every_active_constraint(split: str, i: int):
    problem = TASK.problem(split, i)
    for name in ("direct", "restated", "solution"):
        answer = tagged(problem.info[name])
        assert answer and verify(answer, problem.answer, graded=True) == ("right", 1.0), (name, told(problem))
    rules = read(problem.answer)
    assert active(rules.constraints, "x") != [] and rules.instruction == told(problem)
    assert verify(" ", problem.answer) == "unparseable"


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 3), st.integers(0, 10**6))
def test_a_problem_is_as_deep_as_it_says(deep: int, i: int):
    problem = MiniInstructions(depth=deep).problem("train", i)
    (constraint,) = json.loads(problem.answer)["constraints"]
    assert problem.info["depth"] == depth(constraint) == deep
    assert len(re.findall(r"\bif\b|[/|]", told(problem))) == len(re.findall("if|chain", problem.info["composition"]))


def test_compositions_of_the_test_split_are_never_trained_on():
    made = {split: [TASK.problem(split, i) for i in range(400)] for split in SPLITS}
    compositions = {split: {p.info["composition"] for p in made[split]} for split in SPLITS}
    assert not compositions["test"] & (compositions["train"] | compositions["validation"])
    assert len(compositions["validation"] & compositions["train"]) > 20
    questions = {split: {told(p) for p in made[split]} for split in SPLITS}
    assert not questions["train"] & questions["validation"]
    for split in SPLITS:
        assert set(Counter(p.info["depth"] for p in made[split])) == {1, 2, 3}


def test_a_problem_depends_on_seed_split_and_number_alone():
    assert TASK.problem("train", 7) == MiniInstructions().problem("train", 7)
    assert told(TASK.problem("train", 7)) != told(MiniInstructions(seed=1).problem("train", 7))


def test_solutions_are_direct_or_restate_the_first_words():
    solved = [TASK.problem("train", i) for i in range(300)]
    direct = sum(p.info["solution"] == p.info["direct"] for p in solved)
    assert 110 < direct < 190
    for p in solved:
        assert p.info["direct"].startswith("<think></think><answer>")
        thought = tagged(p.info["restated"], "think")
        assert thought and told(p).startswith(thought) and len(thought.split()) <= 6
        assert TagFormat().holds(p.info["restated"]) and TagFormat(blank=("think",)).holds(p.info["direct"])
    for share, name in ((0, "restated"), (1, "direct")):
        assert all(
            MiniInstructions(direct=share).problem("train", i).info["solution"]
            == MiniInstructions(direct=share).problem("train", i).info[name]
            for i in range(20)
        )


def test_copying_an_instruction_is_never_right():
    for split in SPLITS:
        for problem in (TASK.problem(split, i) for i in range(200)):
            for copy in (
                told(problem),
                told(problem).upper(),
                f"so {told(problem)}",
                f"{told(problem)} {told(problem)}",
            ):
                assert verify(copy, problem.answer) == "wrong"
            wrong = [text.removeprefix("<answer>").removesuffix("</answer>") for text in problem.info["wrong"]]
            assert wrong[0] == told(problem) and {verify(text, problem.answer) for text in wrong} == {"wrong"}
            (constraint,) = json.loads(problem.answer)["constraints"]
            kinds = {atom["type"] for atom, _ in active(constraint, told(problem))}
            assert kinds & {"include", "starts", "ends", "order", "count"}


def test_the_same_words_in_spam_earn_little():
    """All sixty words at once meet what is to be there, and hardly any instruction."""
    spam = " ".join(VOCABULARY)
    right = sum(verify(spam, TASK.problem("train", i).answer) == "right" for i in range(300))
    assert right < 45


def test_rewards_give_solutions_the_full_score():
    for i in range(10):
        problem = TASK.problem("test", i)
        said = [problem.info["direct"], problem.info["restated"], told(problem)]
        tried = replace(group(*(attempt(row([1, 2], [0, 1]), text=text) for text in said)), problem=problem)
        assert MetConstraints()(tried).tolist() == [2, 2, -2]
        assert asyncio.run(Verified("constraints")(tried)).values.tolist() == [1, 1, 0]


def test_all_words_are_one_token_each():
    codec = TinyQwen(width=32, layers=1, heads=2, kv_heads=1, tokenizer="word", words=WORDS).build(0).codec
    lengths = []
    for i in range(100):
        problem = TASK.problem("train", i)
        row = worked(codec, problem, 1000).rows[0]
        lengths.append(int(row.trained.sum()))
        assert codec.tokenizer.unk_token_id not in row.tokens
        assert codec.text(row.tokens).endswith(problem.info["solution"])
    assert max(lengths) <= 50 and sorted(lengths)[90] <= 35


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"depth": 4}, "depth must lie in 1 .. 3"),
        ({"depth": 0}, "depth must be a number or a range"),
        ({"words": 0}, "words must be a number or a range"),
        ({"words": 11}, "words must lie in 1 .. 10"),
        ({"direct": 1.5}, "direct is a share"),
        ({"restated": 0}, "restated must be at least 1"),
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        MiniInstructions(**wrong)


def test_it_keeps_the_promises_of_a_task():
    check_task(TASK)
