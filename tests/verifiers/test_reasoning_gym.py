from __future__ import annotations

import importlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from whet.verifiers.gold import BadGold
from whet.verifiers.reasoning_gym import FORMULAS, LISTS, prepare, verify

reasoning_gym = pytest.importorskip("reasoning_gym")


def gold(name: str, index: int = 0) -> tuple[str, dict[str, Any]]:
    entry = reasoning_gym.create_dataset(name, seed=5, size=10)[index]
    return json.dumps({"dataset": name, "config": {}, "entry": entry}, default=str), entry


@pytest.mark.parametrize(
    "name",
    ["chain_sum", "basic_arithmetic", "leg_counting", "word_sorting", "arc_agi", "spell_backward"],
)
def test_the_entrys_own_answer_is_right_and_others_are_not(name: str):
    text, entry = gold(name)
    assert verify(entry["answer"], text) == "right"
    assert verify(f" {entry['answer']}\n", text) == "right"
    assert verify("", text) == verify(" \n", text) == "unparseable"
    assert verify(f"{entry['answer']} {entry['answer']}", text) == "wrong"
    assert verify("no idea", text) == "wrong"


def test_partial_credit_is_none():
    text, entry = gold("chain_sum")
    assert verify(entry["answer"] * 2, text) == "wrong"


def test_a_scorer_that_takes_anything_is_not_trusted():
    text, entry = gold("game_of_life_halting")
    assert verify(str(entry["answer"]), text) == "right"
    assert verify(str(entry["answer"] != "True"), text) == "wrong"
    assert verify("anything", text) == "wrong"


def test_several_answers_may_be_right():
    entry = {"question": "", "answer": "3+4", "metadata": {"numbers": [3, 4], "target": 7}}
    text = json.dumps({"dataset": "countdown", "config": {}, "entry": entry})
    assert verify("4 + 3", text) == "right"
    assert verify("3*4", text) == "wrong"


@pytest.mark.parametrize("name", sorted(FORMULAS))
@pytest.mark.parametrize(
    "attack", ["__import__('os')", "().__class__", "exec(x)", "open('f')", "f'{x}'", "[x for x in y]", "a.b", "S('x')"]
)
def test_code_never_reaches_a_scorer_that_evaluates_formulas(name: str, attack: str):
    assert verify(attack, gold(name)[0]) == "unparseable"


@pytest.mark.parametrize("name", sorted(LISTS))
@pytest.mark.parametrize("attack", ["__import__('os')", "[].__class__", "exec(x)", "f'{x}'", "[x for x in y]"])
def test_code_never_reaches_a_scorer_that_evaluates_lists(name: str, attack: str):
    assert verify(attack, gold(name)[0]) == "unparseable"


@pytest.mark.parametrize("name", ["countdown", "n_queens", "simple_integration"])
@pytest.mark.parametrize("tower", ["9**9**9**9", "9 ** -9 ** 9", "2+9**9**9"])
def test_a_power_of_a_power_is_not_worked_out(name: str, tower: str):
    assert verify(tower, gold(name)[0]) == "unparseable"


@pytest.mark.parametrize("name", sorted(FORMULAS | LISTS))
def test_the_guard_lets_real_answers_through(name: str):
    for index in range(3):
        text, entry = gold(name, index)
        left_open = "Integral" in entry["answer"]
        assert verify(entry["answer"], text) == ("unparseable" if left_open else "right")


def test_an_integral_is_no_answer_to_a_question_for_one():
    text, entry = gold("simple_integration")
    assert verify(entry["answer"], text) == "right"
    assert verify(f"Integral({entry['metadata']['integrand']}, {entry['metadata']['variable']})", text) == "unparseable"


def test_no_other_scorer_evaluates_the_answer():
    """A new version of the package that hands answers to eval, exec or sympy's parser elsewhere must be looked at."""
    factory = importlib.import_module("reasoning_gym.factory")
    evaluating = set()
    for name, (made, _) in factory.DATASETS.items():
        file = importlib.import_module(made.__module__).__file__
        assert file is not None
        if re.search(
            r"\b(eval|exec|parse_expr|sympify)\((str\()?(user_)?answer", Path(file).read_text(encoding="utf-8")
        ):
            evaluating.add(name)
    assert evaluating == FORMULAS | LISTS


@pytest.mark.parametrize("text", ["", "5", "{}", '{"dataset": "none such", "entry": {"answer": "1"}}'])
def test_another_gold_is_our_fault(text: str):
    prepare([text])
    with pytest.raises(BadGold):
        verify("5", text)


def test_an_entry_whose_own_answer_is_not_right_is_our_fault():
    text = json.dumps({"dataset": "countdown", "entry": {"answer": "1", "metadata": {}}})
    with pytest.raises(BadGold, match="does not score 1"):
        verify("5", text)
