from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import product
from typing import Any

import pytest

from whet.tasks.knights_knaves import NAMES, KnightsKnaves, solutions
from whet.verifiers import assignment


def holds(claim: str, speaker: str, roles: Mapping[str, str]) -> bool:
    """Whether a sentence of the prompt is true: read from its English, not from the task's own data."""

    def role(who: str) -> str:
        return roles[speaker if who == "I" else who]

    if found := re.fullmatch(r"if (.*) then (.*)", claim):
        return not holds(found[1], speaker, roles) or holds(found[2], speaker, roles)
    if found := re.fullmatch(r"(\w+) and (\w+) are (the same|different)", claim):
        return (role(found[1]) == role(found[2])) == (found[3] == "the same")
    if found := re.fullmatch(r"exactly (\d+) of us (?:is a knight|are knights)", claim):
        return list(roles.values()).count("knight") == int(found[1])
    for word, combine in ((" and ", all), (" or ", any)):
        if word in claim:
            return combine(holds(part, speaker, roles) for part in claim.split(word))
    found = re.fullmatch(r"(\w+) (?:is|am) a (knight|knave)", claim)
    assert found, claim
    return role(found[1]) == found[2]


@pytest.mark.parametrize("people", [2, 3, 4])
def test_the_answer_is_the_only_assignment_that_fits_the_sentences(people: int):
    for i in range(150):
        problem = KnightsKnaves(people).problem("train", i)
        prompt: Any = problem.prompt
        said = dict(re.findall(r'(\w+) says: "([^"]*)"', prompt[0]["content"]))
        assert len(said) == people and set(said) <= set(NAMES)
        fitting = []
        for choice in product(("knight", "knave"), repeat=people):
            roles = dict(zip(said, choice, strict=True))
            if all(holds(claim, who, roles) == (roles[who] == "knight") for who, claim in said.items()):
                fitting.append(", ".join(f"{who}={role}" for who, role in roles.items()))
        assert fitting == [problem.answer]


def test_the_solution_tries_cases_until_one_fits():
    for i in range(100):
        problem = KnightsKnaves((2, 4)).problem("test", i)
        found = re.fullmatch(r"<think>(.*)</think><answer>(.*)</answer>", problem.info["solution"])
        assert found
        thought, answer = found.groups()
        *failed, fits = thought.split("; ")
        assert answer == problem.answer
        assert fits == answer.replace("=", " ") + ": fits"
        assert all(case.endswith(" no") for case in failed)
        assert assignment.verify(answer, problem.answer) == "right"
        assert assignment.verify(answer.replace("knight", "knave"), problem.answer) in ("right", "wrong")
        told = [text.removeprefix("<answer>").removesuffix("</answer>") for text in problem.info["wrong"]]
        assert len(told) == problem.info["people"]
        assert {assignment.verify(text, problem.answer) for text in told} == {"wrong"}


def test_solutions_by_hand():
    assert solutions((("is", 1, False), ("same", 0, 1))) == [(True, False)]
    assert solutions((("is", 1, True), ("is", 0, True))) == [(True, True), (False, False)]


@pytest.mark.parametrize("wrong", [1, 9, (3, 2)])
def test_wrong_numbers_of_people_are_refused(wrong: Any):
    with pytest.raises(ValueError, match="people must be"):
        KnightsKnaves(wrong)
