from __future__ import annotations

import asyncio
import math
from pathlib import Path
from typing import Any

import pytest

from whet.verifiers.user import UserFunction, UserFunctionError

REWARDS = """
import os, sys
from helper import double

def lengths(prompts, completions, **columns):
    print("printed by a user's function")
    return [float(len(text)) for text in completions]

def exact(completions, answer):
    return [double(text == gold) for text, gold in zip(completions, answer)]

async def later(completions, **columns):
    return [None, float("nan"), True, 2]

def where(completions):
    return [float(os.getcwd() == completions[0]), float(sys.path[0] == completions[1])]

def raises(completions):
    values = {}
    return [values["not there"] for text in completions]

def short(completions):
    return [1.0]

def words(completions):
    return [1.0, "good"]

def endless(completions):
    return [1.0, float("inf")]

def alone(completions):
    return 1.0

def wants(completions, solution):
    return [0.0 for text in completions]

def hangs(completions):
    while completions[0] == "hang":
        pass
    return [1.0 for text in completions]

def dies(completions):
    os._exit(7)
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("user") / "math.py"  # a name that is taken is no obstacle
    file.write_text(REWARDS)
    (file.parent / "helper.py").write_text("def double(x):\n    return 2 * x\n")
    return file


def call(file: Path, function: str, *completions: Any, deadline: float = 60, **columns: list[Any]) -> list[float]:
    made = UserFunction(f"{file}:{function}", deadline)
    return asyncio.run(made(["prompt"] * len(completions), completions, columns))


def test_the_values_come_back_in_order(file: Path):
    assert call(file, "lengths", "a", "", "abc", answer=[1, 2, 3]) == [1, 0, 3]


def test_a_function_gets_the_columns_it_names(file: Path):
    assert call(file, "exact", "5", "6", answer=["5", "5"], other=[1, 2]) == [2, 0]


def test_none_and_nan_are_no_verdict(file: Path):
    values = call(file, "later", "a", "b", "c", "d")
    assert [math.isnan(value) for value in values] == [True, True, False, False]
    assert values[2:] == [1, 2]


def test_it_runs_where_the_user_is_with_its_own_folder_first(file: Path):
    assert call(file, "where", str(Path.cwd()), str(file.parent)) == [1, 1]


@pytest.mark.parametrize(
    ("function", "says"),
    [
        ("raises", r"(?s)math\.py:\d+ in .*values\[\"not there\"\].*KeyError: 'not there'"),
        ("short", "1 values for 2 completions"),
        ("words", "str 'good' for completion 1"),
        ("endless", "float 'inf' for completion 1"),
        ("alone", "a list of numbers, one per completion, got float '1.0'"),
        ("wants", "wants solution, but there is only answer, prompts, completions"),
        ("dies", "ended its process: the worker ended with exit code 7"),
    ],
)
def test_what_goes_wrong_is_named(file: Path, function: str, says: str):
    with pytest.raises(UserFunctionError, match=says) as caught:
        call(file, function, "a", "b", answer=["1", "2"])
    assert f"{file}:{function}" in str(caught.value)


def test_a_function_that_hangs_is_stopped_and_the_next_call_works(file: Path):
    with pytest.raises(UserFunctionError, match=r"did not return within 0\.3 s"):
        call(file, "hangs", "hang", deadline=0.3)
    assert call(file, "hangs", "go on") == [1]


def test_a_column_that_is_no_json_is_named(file: Path):
    with pytest.raises(UserFunctionError, match="JSON"):
        call(file, "lengths", "a", picture=[object()])
    assert call(file, "lengths", "a") == [1]


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("rewards", "'file.py:function'"),
        ("rewards.py", "'file.py:function'"),
        ("rewards.py:two words", "'file.py:function'"),
        ("absent.py:f", "no file 'absent.py'"),
        ("{folder}/broken.py:f", "broken.py:2"),
        ("{folder}/math.py:lenghts", "no function 'lenghts'; it has lengths"),
    ],
)
def test_a_wrong_path_is_an_error_before_any_work(file: Path, path: str, says: str):
    (file.parent / "broken.py").write_text("x = 1\ndef f(:\n")
    with pytest.raises(UserFunctionError, match=says):
        UserFunction(path.format(folder=file.parent))


def test_a_file_that_raises_when_run_is_named(file: Path):
    (file.parent / "raising.py").write_text("def f(completions):\n    return []\n\n1 / 0\n")
    with pytest.raises(UserFunctionError, match=r"(?s)raising.py:4.*ZeroDivisionError"):
        call(file.parent / "raising.py", "f", "a")


def test_calls_at_the_same_time_are_kept_apart(file: Path):
    async def many() -> list[list[float]]:
        made = UserFunction(f"{file}:lengths")
        return await asyncio.gather(*(made(["p"], ["x" * n]) for n in range(20)))

    assert asyncio.run(many()) == [[n] for n in range(20)]
