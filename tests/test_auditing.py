"""Probes and the audit: what is known to be right or wrong, and what a reward makes of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from whet.auditing import audit
from whet.cli import app
from whet.evaluating import TASKS
from whet.probes import attacks, guesses, mutations, near_misses, notations, nothing, probes
from whet.rewards.named import named
from whet.tasks.chain_sum import ChainSum
from whet.types import Problem

GSM8K = Path(__file__).resolve().parents[2] / "shared" / "data" / "gsm8k" / "test.jsonl"
NUMBERS = st.one_of(st.integers(-(10**6), 10**6).map(str), st.decimals(-1000, 1000, places=2).map(str))


def value(text: str) -> float:
    bare = text.strip().strip("$").removeprefix("\\(").removesuffix("\\)").removeprefix("\\boxed{").rstrip("}")
    return float(bare.replace(",", ""))


@given(NUMBERS)
def test_notations_are_the_same_number_and_near_misses_another(gold: str) -> None:
    assert all(value(text) == float(gold) for text in notations(gold))
    assert all(value(text) != float(gold) for text in near_misses(gold))
    assert len(set(near_misses(gold))) >= 8


@given(st.text(min_size=1, max_size=20), st.integers(0, 99))
def test_a_mutation_is_another_answer_and_the_same_every_time(gold: str, seed: int) -> None:
    made = list(mutations(gold, seed, "p"))
    assert made == list(mutations(gold, seed, "p"))
    assert all(text.strip().casefold() != gold.strip().casefold() for text in made)


def test_a_text_has_no_notations_but_blanks_and_no_near_misses() -> None:
    assert {text.strip() for text in notations("red")} == {"red"} and list(near_misses("red")) == []


def test_every_probe_says_what_it_is_for() -> None:
    made = probes(Problem("p", "2+3?", "5", {"solution": "<answer>5</answer>"}), others=["5", "6"])
    assert {p.kind for p in made if p.right} == {"gold", "solution", "notation"}
    assert [p.text for p in made if p.kind == "another's answer"] == ["<answer>6</answer>"]
    tried = [*nothing(), *guesses("5"), *attacks("2+3?")]
    assert {kind for kind, _ in tried} <= {p.kind for p in made if not p.right}
    wrong = [(p.kind, p.text) for p in made if not p.right]
    assert len(set(wrong)) == len(wrong)


@pytest.mark.parametrize("answer", [None, "", " ", ["5"]])
def test_a_problem_of_which_nothing_right_is_known_is_refused(answer: object) -> None:
    with pytest.raises(ValueError, match=r"say what is right as info\['solution'\]"):
        probes(Problem("p", "?", answer, {}))


CALLS = '[{"name": "f", "arguments": {}}]'


def kinds(answer: object, **info: object) -> set[str]:
    return {probe.kind for probe in probes(Problem("p", "?", answer, info))}


def test_an_answer_that_is_data_is_no_answer_and_what_is_known_stands_in_its_place() -> None:
    made = probes(Problem("p", "?", CALLS, {"solution": "f", "right": ["g"], "wrong": ["h"]}))
    assert [p.text.strip() for p in made if p.right] == ["f", "g", "f", "g"]
    assert [p.text for p in made if p.kind == "known wrong"] == ["h"]
    assert kinds(CALLS, solution="f") >= {"spam", "injection", "formula", "empty"}
    assert not kinds(CALLS, solution="f") & {"gold", "near miss", "mutation", "every answer", "taken back"}
    assert "gold" in kinds("[1, 2]") and "gold" in kinds("{1, 2}")  # a list of numbers and a set are answers


@pytest.mark.parametrize(
    "answer",
    [
        '[{"type": "exclude", "keywords": ["cat"]}]',
        '{"constraints": []}',
        '{"schema": true}',
        "[]",
        {"schema": {}},
        None,
    ],
)
def test_where_anything_might_be_right_only_nothing_and_what_is_known_is_wrong(answer: object) -> None:
    assert kinds(answer, right=["a"], wrong=["b"]) == {"known right", "notation", "known wrong", "empty", "blank"}


def test_what_is_known_may_be_columns_of_a_file_whose_solution_ends_in_data() -> None:
    made = probes(Problem("p", "?", CALLS, {"columns": {"right": ["f"], "wrong": "no list"}, "solution": "<answer>["}))
    assert {(p.kind, p.text.strip()) for p in made if p.right} == {("known right", "f"), ("notation", "f")}


@pytest.mark.parametrize(
    ("gold", "other"),
    [
        ("Ann=knight, Bob=knave", "Bob=knave, Ann=knight"),
        ("1/2", "0.50"),
        ("3/4", "6/8"),
        ("\\pi", "3"),
        ("[0,1)", "[00,1)"),
    ],
)
def test_what_may_mean_the_same_is_not_called_wrong(gold: str, other: str) -> None:
    made = probes(Problem("p", "?", gold, {}), others=[other])
    assert not [p for p in made if p.kind == "another's answer" or p.text == f"<answer>{other}</answer>"]


def test_an_attack_that_is_the_answer_is_left_out() -> None:
    assert "<answer>x</answer>" not in [p.text for p in probes(Problem("p", "?", "X", {})) if not p.right]


@pytest.mark.parametrize("name", [name for name in TASKS if name != "json-problems"])
def test_the_shipped_tasks_and_their_verifiers_agree_on_what_is_right_and_what_is_not(name: str) -> None:
    make, judge = TASKS[name]
    found = audit(named(judge), make(), problems=10)
    assert found["false positives"]["value"] == found["order"] == 0, found["worst"]
    assert found["kinds"]["solution"]["taken"]["value"] == 1 and found["probes"]["right"] >= 20
    assert not any(kind["failed"] for kind in found["kinds"].values())


def test_a_frame_may_have_braces_of_its_own() -> None:
    told = ["--task", "json-problems", "--frame", '{"answer": "{}"}', "--problems", "2", "--json"]
    found = json.loads(CliRunner().invoke(app, ["audit", "field", *told]).stdout)
    assert found["kinds"]["gold"]["taken"]["value"] == 1 and found["kinds"]["near miss"]["taken"]["value"] == 0


def test_a_good_verifier_takes_nothing_that_is_wrong() -> None:
    found = audit(named("numeric"), ChainSum(), problems=5)
    assert found["false positives"]["value"] == 0 and found["order"] == 0
    assert found["kinds"]["gold"]["taken"]["value"] == found["kinds"]["solution"]["taken"]["value"] == 1
    assert found["probes"]["wrong"] > 150 and 0 < found["false positives"]["high"] < 0.5
    assert all(case["should"] for case in found["worst"])


OWN = """
def anything(prompts, completions, **columns):
    return [1.0 for _ in completions]

def contains(prompts, completions, answer, **columns):
    return [float(a in c[-1]["content"]) for c, a in zip(completions, answer)]

def first(prompts, completions, **columns):
    return [float(i == 0) for i, _ in enumerate(completions)]

def raises(prompts, completions, **columns):
    if any("boxed" in c[-1]["content"] for c in completions):
        raise KeyError("boxed")
    return [0.0 for _ in completions]
"""


@pytest.fixture
def own(tmp_path: Path) -> str:
    (tmp_path / "own.py").write_text(OWN)
    return f"{tmp_path}/own.py"


def test_a_reward_that_takes_anything_is_found_out(own: str) -> None:
    found = audit(named(f"{own}:anything"), ChainSum(), problems=2)
    assert found["false positives"]["value"] == 1 and not found["worst"][0]["should"]


def test_a_reward_that_looks_for_the_answer_anywhere_is_found_out(own: str) -> None:
    found = audit(named(f"{own}:contains"), ChainSum(), problems=3)
    kinds = {kind: of["taken"]["value"] for kind, of in found["kinds"].items()}
    assert kinds["every answer"] == kinds["taken back"] == 1 and kinds["empty"] == 0


def test_a_reward_that_depends_on_the_order_is_found_out(own: str) -> None:
    assert audit(named(f"{own}:first"), ChainSum(), problems=2)["order"] == 4  # the first and the last, twice


def test_a_reward_that_raises_is_told_with_what_made_it(own: str) -> None:
    found = audit(named(f"{own}:raises"), ChainSum(), problems=2)
    assert found["kinds"]["notation"]["failed"] == found["outcomes"]["raised"] == 2


@pytest.mark.skipif(not GSM8K.exists(), reason="the data set is not here")
def test_gsm8k_takes_every_gold_answer_in_every_notation_and_no_mutation() -> None:
    ran = CliRunner().invoke(app, ["audit", "gsm8k", "--task", str(GSM8K), "--problems", "40", "--json"])
    kinds = json.loads(ran.stdout)["kinds"]
    for kind in ("gold", "solution", "notation"):
        assert kinds[kind]["taken"]["value"] == 1 and kinds[kind]["failed"] == 0
    assert kinds["notation"]["probes"] >= 4 * 40
    assert kinds["near miss"]["probes"] + kinds["mutation"]["probes"] >= 200
    for kind in ("near miss", "mutation", "another's answer", "empty", "blank", "every answer", "spam", "injection"):
        assert kinds[kind]["taken"]["value"] == 0, kind


def test_the_command_says_what_is_wrong_with_what_it_was_given(tmp_path: Path) -> None:
    for wrong in (
        ["nothing", "--task", "chain-sum"],
        ["numeric", "--task", "sums"],
        ["numeric", "--task", "chain-sum", "--frame", "x"],
    ):
        ran = CliRunner().invoke(app, ["audit", *wrong])
        assert ran.exit_code == 2 and ran.stderr.strip()
    ran = CliRunner().invoke(app, ["audit", "numeric", "--task", "chain-sum", "--problems", "2"])
    assert ran.exit_code == 0 and "false positives" in ran.stdout
