"""The small model of rl-compositionality reads single functions only."""

from __future__ import annotations

import re
from itertools import product

from whet.recipes._compositions import ATOMS, NAMES, Listed, one, singles
from whet.tasks.splits import split_of
from whet.tasks.string_functions import FUNCTIONS

BY_NAME = {shown: FUNCTIONS[name][0] for name, shown in NAMES.items()}
WORKED = re.compile(r"([a-dA-D]+)>(f[0-9]+)=([a-dA-D]+)")


def test_no_result_is_ever_an_argument():
    for i in range(400):
        solution = str(singles.problem("train", i).info["solution"])
        assert not re.search(r"=[a-dA-D]+>f", solution)
        thought = solution.partition("</think>")[0]
        assert thought.count("=") == len(WORKED.findall(thought))
        assert all(BY_NAME[name](text) == result for text, name, result in WORKED.findall(thought))


def test_no_level_one_test_question_is_worked_before():
    back = {shown: name for name, shown in NAMES.items()}
    for i in range(400):
        for text, name, _ in WORKED.findall(str(singles.problem("train", i).info["solution"])):
            assert split_of(f"{(back[name],)} {text}") == "train"


def test_functions_listed_are_of_one_text_and_names_alone_are_said_again():
    asked = [Listed().problem("train", i).prompt[0]["content"] for i in range(40)]  # type: ignore[index]
    assert all(len({part.split(">")[0] for part in question.split(",")}) == 1 for question in asked)
    assert {question.count(",") for question in asked} == {0, 1, 2}
    names = Listed(text=False).problem("train", 0)
    assert names.prompt[0]["content"] == names.answer and set(names.answer.split(">")) <= set(BY_NAME)  # type: ignore[index]


def test_few_compositions_of_two_are_a_single_function_or_none():
    text = "abcDAB"
    alone = {FUNCTIONS[name][0](text) for name in ATOMS} | {text}
    twice = [FUNCTIONS[g][0](FUNCTIONS[f][0](text)) for f, g in product(ATOMS, ATOMS)]
    assert sum(result in alone for result in twice) == 3 and len(twice) == 25
    assert one.functions == ATOMS
