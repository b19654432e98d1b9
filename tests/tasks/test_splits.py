from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whet.tasks.chain_sum import ChainSum
from whet.tasks.countdown import Countdown
from whet.tasks.guess import Guess
from whet.tasks.knights_knaves import KnightsKnaves
from whet.tasks.overlap import overlap
from whet.tasks.splits import SHARES, drawn, split_of
from whet.tasks.string_functions import StringFunctions
from whet.types import Problem, Task

MADE: list[Task] = [
    ChainSum(),
    ChainSum(terms=(3, 5), modulus=10, operators="+-*", shown=0.0),
    Countdown(),
    KnightsKnaves(),
    KnightsKnaves(people=2),
    StringFunctions(),
    StringFunctions(hidden=True, define=True, depth=(1, 4)),
    Guess(),
]


@pytest.mark.parametrize("task", MADE, ids=repr)
def test_a_problem_is_pure(task: Task):
    assert [task.problem("train", i) for i in range(20)] == [task.problem("train", i) for i in range(20)]
    assert task.problem("test", 10**15) == task.problem("test", 10**15)


@pytest.mark.parametrize("task", MADE, ids=repr)
def test_made_tasks_are_endless_and_ids_differ(task: Task):
    assert task.size("train") is None
    assert len({task.problem(split, i).id for split in SHARES for i in range(30)}) == 90


@pytest.mark.parametrize("task", MADE, ids=repr)
def test_splits_share_no_prompt(task: Task):
    count = 300 if isinstance(task, KnightsKnaves | Countdown) else 1500
    assert overlap(task, "train", "test", count) == []
    assert overlap(task, "train", "validation", count // 3) == []
    assert overlap(task, "validation", "test", count // 3) == []


@pytest.mark.parametrize("task", MADE, ids=repr)
def test_text_is_printable_ascii_on_one_line(task: Task):
    for i in range(100):
        problem = task.problem("train", i)
        said = said_in(problem)
        assert said.isascii() and said.isprintable()


@pytest.mark.parametrize("task", MADE, ids=repr)
def test_other_splits_and_negative_numbers_are_refused(task: Task):
    with pytest.raises(ValueError, match="train, validation, test"):
        task.problem("dev", 0)
    with pytest.raises(ValueError, match="numbered from 0, got -1"):
        task.problem("train", -1)


def test_two_seeds_share_almost_no_problem_and_still_never_leak():
    one, two = ChainSum(terms=4, seed=42), ChainSum(terms=4, seed=43)
    assert sum(one.problem("train", i).prompt == two.problem("train", i).prompt for i in range(500)) < 5
    train = {said_in(one.problem("train", i)) for i in range(2000)}
    assert not train & {said_in(two.problem("test", i)) for i in range(500)}


def test_overlap_finds_what_is_shared():
    assert overlap(ChainSum(), "test", "test", count=3) == sorted(
        {f'[{{"role": "user", "content": "{said_in(ChainSum().problem("test", i))}"}}]' for i in range(3)}
    )
    with pytest.raises(ValueError, match="count must be at least 1"):
        overlap(ChainSum(), count=0)


def test_shares_are_eighty_ten_ten():
    owners = [split_of(str(k)) for k in range(20_000)]
    for split, share in SHARES.items():
        assert abs(owners.count(split) / len(owners) - share) < 0.01


def test_too_few_questions_are_an_error_and_no_endless_loop():
    tiny = ChainSum(terms=2, largest=1, operators="+")  # 1+1=? is all there is
    owner = split_of("1+1=?")
    assert said_in(tiny.problem(owner, 5)) == "1+1=?"
    for split in set(SHARES) - {owner}:
        with pytest.raises(ValueError, match="too few different questions"):
            tiny.problem(split, 0)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(sorted(SHARES)), st.integers(0, 2**62), st.integers(0, 2**31))
def test_what_is_drawn_belongs_to_its_split(split: str, i: int, seed: int):
    assert split_of(drawn("t", seed, split, i, lambda rng: str(rng.integers(10**6)), str)) == split


def said_in(problem: Problem) -> str:
    prompt: Any = problem.prompt
    assert len(prompt) == 1 and prompt[0]["role"] == "user"
    return prompt[0]["content"]
