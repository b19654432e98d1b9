from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

pytest.importorskip("reasoning_gym")

from reasoning_gym.factory import create_dataset

from whet.tasks.gym import HASH_ORDERED, REFUSED, Gym, names
from whet.tasks.overlap import overlap
from whet.tasks.splits import SHARES, split_of
from whet.types import Problem
from whet.verifiers import reasoning_gym

# A held-out problem of these takes long: only training ones are made here.
SLOW = ("futoshiki", "intermediate_integration", "knight_swap", "puzzle24", "quantum_lock", "sokoban", "word_ladder")
SLOW += ("zebra_puzzles",)
WITHOUT_ANSWER = {"boxnet", "graph_color", "propositional_logic", "rubiks_cube", "rush_hour"}

# Everything that is asked of every data set, also run in another process where Python's hash seed must be fixed.
CHECK = """
import json, sys
from whet.tasks.gym import Gym
for name, count in json.loads(sys.argv[1]):
    problems = {split: [Gym(name).problem(split, i) for i in range(n)] for split, n in count.items()}
    print(json.dumps([name, {s: [[p.prompt, p.answer, dict(p.info)] for p in ps] for s, ps in problems.items()}]))
"""


def made(name: str, split: str, count: int) -> list[Problem]:
    return [Gym(name).problem(split, i) for i in range(count)]


def asked(problem: Problem) -> str:
    prompt: Any = problem.prompt
    return prompt[0]["content"]


def check(name: str, problems: list[Problem]) -> None:
    for problem in problems:
        gold = json.loads(problem.answer)
        assert gold["dataset"] == name and gold["config"] == {}
        assert gold["entry"]["question"] == asked(problem)
        answer = gold["entry"]["answer"]
        assert (answer is None) == (name in WITHOUT_ANSWER) == ("solution" not in problem.info)
        if answer is not None:
            assert problem.info["solution"] == f"<answer>{answer}</answer>"


@pytest.mark.parametrize("name", sorted(set(names()) - set(REFUSED) - set(HASH_ORDERED) - set(SLOW)))
def test_every_data_set_makes_pure_json_problems_and_holds_some_out(name: str):
    train, test = made(name, "train", 3), made(name, "test", 1)
    check(name, train[:1] + test)
    assert train[0] == Gym(name).problem("train", 0)
    assert len({problem.answer for problem in train + test}) == 4
    assert {split_of(asked(p)) for p in train} == {"train"} and {split_of(asked(p)) for p in test} == {"test"}


@pytest.mark.parametrize("name", sorted(set(SLOW) - set(HASH_ORDERED)))
def test_slow_data_sets_make_pure_problems_too(name: str):
    train = made(name, "train", 1)
    check(name, train)
    assert train == made(name, "train", 1)


@pytest.mark.parametrize(
    "name", ["arc_agi", "rearc", "kakurasu", "chain_sum", "gcd", "list_functions", "acre", "survo"]
)
def test_the_gold_answer_scores_one_with_the_data_sets_own_rules(name: str):
    for problem in made(name, "train", 4):
        assert reasoning_gym.verify(json.loads(problem.answer)["entry"]["answer"], problem.answer) == "right"


@pytest.mark.parametrize("name", HASH_ORDERED)
def test_data_sets_that_depend_on_the_hash_seed_ask_for_a_fixed_one(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("PYTHONHASHSEED", raising=False)
    with pytest.raises(ValueError, match="PYTHONHASHSEED=0"):
        Gym(name)


def test_with_a_fixed_hash_seed_every_process_makes_the_same_problems():
    wanted = [(name, {"train": 1, "test": 0 if name in SLOW else 1}) for name in (*HASH_ORDERED, "gcd")]
    runs = []
    for seed in ("0", "0"):
        env = {**os.environ, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", CHECK, json.dumps(wanted)]
        runs.append(subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout)
    assert runs[0] == runs[1]
    assert [json.loads(line)[0] for line in runs[0].splitlines()] == [name for name, _ in wanted]


@pytest.mark.parametrize("name", ["chain_sum", "basic_arithmetic", "leg_counting", "spell_backward", "base_conversion"])
def test_train_and_test_share_no_question(name: str):
    assert overlap(Gym(name), "train", "test", count=150) == []


def test_neighbouring_seeds_share_almost_nothing():
    """With reasoning-gym's own seeding, seeds 42 and 43 share all items but one."""
    one, two = ({asked(Gym("chain_sum", seed=s).problem("train", i)) for i in range(200)} for s in (42, 43))
    assert len(one & two) < 10


def test_a_config_reaches_the_data_set():
    task = Gym("chain_sum", {"min_terms": 5, "max_terms": 5})
    gold = json.loads(task.problem("train", 0).answer)
    assert gold["config"] == {"min_terms": 5, "max_terms": 5}
    assert gold["entry"]["metadata"]["num_terms"] == 5


def test_numpys_own_generator_and_the_screen_are_left_alone(capsys: pytest.CaptureFixture[str]):
    before = np.random.get_state()
    made("pool_matrix", "train", 2)
    made("bf", "train", 3)
    after = np.random.get_state()
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    assert capsys.readouterr().out == ""


def test_a_data_set_of_few_questions_is_an_error_and_no_endless_loop():
    config = {"min_numbers": 2, "max_numbers": 2, "min_value": 1, "max_value": 2}  # 1 or 2 with 1 or 2
    few = Gym("gcd", config)
    items = create_dataset("gcd", **config, size=200, seed=0)
    owners = {split_of(items[k]["question"]) for k in range(200)}
    assert len(owners) < 3
    for split in SHARES:
        if split in owners:
            assert split_of(asked(few.problem(split, 0))) == split
        else:
            with pytest.raises(ValueError, match="too few different questions"):
                few.problem(split, 0)


@pytest.mark.parametrize(
    ("name", "config", "message"),
    [
        ("chainsum", {}, "no 'chainsum'; nearest: chain_sum"),
        ("composite", {}, "use Mixture"),
        ("codeio", {}, "running collected programs"),
        ("gcd", {"numbers": 3}, "refuses the config"),
        ("gcd", {"min_numbers": 1}, "refuses the config"),
        ("gcd", {"seed": 3}, "must not hold seed or size"),
        ("gcd", {"min_numbers": {1, 2}}, "JSON values only"),
    ],
)
def test_wrong_names_and_configs_are_refused(name: str, config: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        Gym(name, config)


def test_without_the_extra_the_error_says_what_to_install(tmp_path: Any):
    (tmp_path / "reasoning_gym.py").write_text("raise ImportError('not here')\n")
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    code = "from whet.tasks.gym import Gym; Gym()"
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert 'pip install "whet[tasks]"' in done.stderr
