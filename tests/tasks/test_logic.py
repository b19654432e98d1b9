"""Families of logic puzzles: rules hold for the gold answer and for nothing near it, at every level."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from itertools import product
from string import ascii_lowercase

import numpy as np
import pytest

from whet.rewards.text import tagged
from whet.tasks._logic_formulas import boolean, worth
from whet.tasks.logic import FAMILIES, OWN, SIGNS, WORDS, Logic
from whet.tasks.overlap import overlap
from whet.types import Problem
from whet.verifiers.logic import verify

GYM = [name for name in FAMILIES if name not in OWN]
SLOW = {"game-of-24": 2, "cryptarithm": 8, "survo": 8}  # problems that are made; others 20


def whole(family: str) -> tuple[int, int]:
    return (0, len(FAMILIES[family].ladder) - 1)


def question(problem: Problem) -> str:
    return str(problem.prompt[-1]["content"])  # type: ignore[index]


def gold(problem: Problem) -> str:
    return problem.answer if isinstance(problem.answer, str) else json.dumps(problem.answer)


def answer(text: str) -> str:
    found = tagged(text)
    assert found is not None
    return found


def judged(problem: Problem) -> None:
    meant = gold(problem)
    assert verify(answer(problem.info["solution"]), meant) == "right"
    assert verify("", meant) == "unparseable"
    assert problem.info["wrong"]
    for text in problem.info["wrong"]:
        assert verify(answer(text), meant) != "right", (question(problem), text)


@pytest.mark.parametrize("family", OWN)
def test_gold_answers_are_right_and_perturbed_ones_are_not_for_a_thousand_seeds(family: str) -> None:
    for seed in range(1000):
        judged(Logic(family, whole(family), seed=seed).problem("train", 0))


@pytest.mark.parametrize("family", GYM)
def test_families_of_reasoning_gym_keep_the_same_promise(family: str) -> None:
    pytest.importorskip("reasoning_gym")
    for seed in range(SLOW.get(family, 20)):
        judged(Logic(family, whole(family), seed=seed).problem("train", seed))


def test_a_game_of_24_takes_the_given_numbers_alone() -> None:
    pytest.importorskip("reasoning_gym")
    problem = Logic("game-of-24").problem("train", 0)
    assert set(problem.answer) == {"numbers", "target"}  # type: ignore[arg-type]
    numbers = sorted(problem.answer["numbers"])  # type: ignore[index, call-overload]
    (other,) = [text for text in ("6+6+6+6", "6*4*1*1") if sorted(map(int, re.findall("[0-9]", text))) != numbers][:1]
    assert verify(other, gold(problem)) == "wrong"


def test_there_are_twelve_families_or_more() -> None:
    assert len(FAMILIES) >= 12 and len(OWN) >= 8


@pytest.mark.parametrize("family", OWN)
def test_every_level_makes_enough_puzzles_to_hold_some_out_and_none_is_in_both_splits(family: str) -> None:
    for level in range(len(FAMILIES[family].ladder)):
        task = Logic(family, level)
        sides = {split: {question(task.problem(split, i)) for i in range(40)} for split in ("train", "test")}
        assert not sides["train"] & sides["test"]
    assert overlap(Logic(family, whole(family), seed=1), count=150) == []


@pytest.mark.parametrize("family", OWN)
def test_the_same_seed_and_knobs_give_the_same_prompt_in_another_process(family: str) -> None:
    code = "import json, sys; from whet.tasks.logic import Logic\n"
    code += f"print(json.dumps([Logic({family!r}, 1, seed=5).problem('train', i).prompt for i in range(5)]))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(ran.stdout) == [Logic(family, 1, seed=5).problem("train", i).prompt for i in range(5)]


@pytest.mark.parametrize("family", OWN)
def test_all_words_and_signs_are_known(family: str) -> None:
    for i in range(60):
        problem = Logic(family, whole(family)).problem("train", i)
        text = question(problem) + " " + re.sub("</?[a-z]+>", " ", problem.info["solution"])
        spelt = "".join(word for word in re.findall(r"\w+|[^\w]", text) if word not in WORDS)
        assert set(spelt) <= set(SIGNS), text


def test_a_formula_is_worth_what_python_says() -> None:
    assert worth("not not (True) and (False)") is False
    for i in range(200):
        asked = question(Logic("boolean", whole("boolean")).problem("train", i))
        for formula in re.findall(r"[A-H]: ([^;]+)", asked):
            assert worth(formula) == eval(formula, {"__builtins__": {}})


@pytest.mark.parametrize("text", ["", "True True", "(True", "1<", "__import__('os')", "not", "a<b"])
def test_what_is_no_formula_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="formula"):
        worth(text)


def test_the_letters_of_the_true_options_are_the_answer_in_order() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        made = boolean(rng, options=3, depth=(1, 2))
        told = re.findall(r"([A-H]): ([^;]+)", made.question)
        assert made.answer == ",".join(letter for letter, formula in told if worth(formula)) != ""


def test_a_web_of_lies_has_one_solution_and_it_is_the_answer() -> None:
    for i in range(100):
        problem = Logic("lies", (0, 3)).problem("train", i)
        claims, _, asked = question(problem).removesuffix("?").rpartition(". ")
        names = asked.split(",")
        fitting = []
        for roles in product((True, False), repeat=len(names)):
            true = dict(zip(names, roles, strict=True))
            if all(_holds(claim, true) for claim in claims.split("; ")):
                fitting.append(",".join("yes" if role else "no" for role in roles))
        assert fitting == [answer(problem.info["solution"])]


def _holds(claim: str, true: dict[str, bool]) -> bool:
    if found := re.fullmatch(r"(\w) says (\w) (is true|lies)", claim):
        by, of, said = found.groups()
        return true[by] == (true[of] == (said == "is true"))
    return true[claim[0]] == claim.endswith("is true")


def test_a_cipher_and_an_operation_are_done_by_hand() -> None:
    for i in range(100):
        problem = Logic("cipher", (0, 5)).problem("train", i)
        shift, word = question(problem).removeprefix("Shift ").split(": ")
        shifted = "".join(ascii_lowercase[(ascii_lowercase.index(c) + int(shift)) % 10] for c in word)
        assert shifted == answer(problem.info["solution"])
        problem = Logic("operation", (0, 5)).problem("train", i)
        found = re.fullmatch(r"x@y=(\d)x\+(\d)y mod 10; ([\d@]+)\?", question(problem))
        assert found is not None
        a, b, (value, *rest) = int(found[1]), int(found[2]), [int(n) for n in found[3].split("@")]
        for n in rest:
            value = (a * value + b * n) % 10
        assert str(value) == answer(problem.info["solution"])


def test_levels_may_be_a_range_and_knobs_stand_for_no_level() -> None:
    levels = {Logic("dyck", (1, 3)).problem("train", i).info["level"] for i in range(60)}
    assert levels == {1, 2, 3}
    assert len(question(Logic("dyck", knobs={"length": 30}).problem("train", 0))) == len("Close: ") + 30


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="boolean, sudoku"):
        Logic("chess")
    with pytest.raises(ValueError, match=r"0 \.\. 5"):
        Logic("sudoku", 6)
    with pytest.raises(ValueError, match="knobs of 'sudoku' are holes"):
        Logic("sudoku", knobs={"depth": 1})
    with pytest.raises(ValueError, match="too few different"):  # three questions, and not every split has one
        [Logic("dyck", knobs={"length": 1}).problem(split, 0) for split in ("train", "validation", "test")]
