from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from whet.examples import example_group
from whet.stages.positives import different, positives
from whet.types import Group, Problem, Scored, Turn


def scored(values: list[float], *said: str, problem: str = "p") -> Scored:
    """Attempts that say these texts, with their term "correct"."""
    group = example_group(attempts=len(said))
    attempts = tuple(
        replace(t, turns=(Turn("policy", text, 0, 0, 1),)) for t, text in zip(group.trajectories, said, strict=True)
    )
    return Scored(Group(Problem(problem, "q", "2", {"kept": 1}), attempts), (), {"correct": torch.tensor(values)})


def test_a_text_is_taken_if_few_of_its_words_are_in_each_taken_before():
    # a b c against a b d: 2 of 4 words; against a b c d: 3 of 4
    assert different(["a b c", "a b d", "a b c d", "C, b! A?", "e"]) == [0, 1, 4]
    assert different(["a b c", "a b d"], below=0.5) == [0]
    assert different(["a b c", "a b d"], below=0.51) == [0, 1]
    assert different(["", "...", "a"]) == [0, 2]
    assert different([]) == []


def test_at_most_six_are_taken_in_order():
    assert different([str(n) for n in range(10)]) == [0, 1, 2, 3, 4, 5]
    assert different(list("aabb"), most=1) == [0]


@given(st.lists(st.text("abc ", max_size=8)), st.integers(1, 6), st.floats(0.1, 1))
def test_any_two_taken_differ(texts: list[str], most: int, below: float):
    taken = different(texts, most, below)
    assert len(taken) <= most and taken == sorted(set(taken)) and bool(taken) == bool(texts)
    for k, i in enumerate(taken):
        for j in taken[:k]:
            a, b = set(texts[i].split()), set(texts[j].split())
            assert (len(a & b) / len(a | b) if a or b else 1) < below


def test_only_right_attempts_become_solutions_and_only_their_thoughts_are_compared():
    one, two = "<think>use a</think><answer>S</answer>", "<think>then b</think><answer>S</answer>"
    wrong, again = "<think>no way</think><answer>T</answer>", "<think>A, use!</think><answer>SELECT</answer>"
    made = positives([scored([1, 0, 1, 1, math.nan], one, wrong, again, two, "<think>c</think>")])
    assert [problem.info["solution"] for problem in made] == [one, two]
    assert all(problem.id == "p" and problem.prompt == "q" and problem.info["kept"] == 1 for problem in made)


def test_groups_of_one_problem_are_taken_together_and_others_apart():
    groups = [scored([1, 1], "a", "b"), scored([1], "a", problem="other"), scored([1, 1], "b", "c")]
    made = [(problem.id, problem.info["solution"]) for problem in positives(groups)]
    assert made == [("p", "a"), ("p", "b"), ("p", "c"), ("other", "a")]
    assert positives([]) == positives([scored([0.0], "a")]) == []


def test_wrong_settings_are_refused():
    for most, below in ((0, 0.7), (6, 0), (6, 1.1)):
        with pytest.raises(ValueError, match="most of 1 or more"):
            different(["a"], most, below)
    with pytest.raises(ValueError, match="no term 'right'; there are correct"):
        positives([scored([1], "a")], term="right")
