from __future__ import annotations

import asyncio
import json
import re
import shutil
import time
from collections.abc import Callable

import pytest

from whet.rewards.code import PassesTests
from whet.sandbox.language import language
from whet.sandbox.limits import Limits
from whet.tasks.program_families import languages
from whet.tasks.programs import Programs
from whet.types import Group, Judged

pytestmark = pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")

TESTS = json.dumps([{"stdin": f"{a} {b}\n", "stdout": str(a * b)} for a, b in ((2, 3), (4, 5), (0, 7), (1, 1))])


def judged(texts: Callable[..., Group], *replies: str, **options: object) -> Judged:
    group = texts(*replies, answer=TESTS)
    return asyncio.run(PassesTests(**options)(group))  # type: ignore[arg-type]


def block(code: str, language: str = "python") -> str:
    return f"<think>```python\nprint(0)\n```</think>So:\n```{language}\n{code}\n```"


def test_programs_are_judged_by_what_they_print(texts: Callable[..., Group]) -> None:
    right, half = (
        "a, b = map(int, input().split())\nprint(a * b)",
        "a, b = input().split()\nprint(6 if a == '2' else 20)",
    )
    replies = [block(right), block(half), block("x", "lua"), "6", block("1 / 0"), ""]
    found = judged(texts, *replies)
    assert found.values.tolist() == [1, 0, 0, 0, 0, 0]
    assert found.outcomes == ("right", "wrong", "unparseable", "unparseable", "crashed", "unparseable")
    assert [took > 0 for took in found.seconds] == [True, True, False, False, True, False]  # of what was run
    assert judged(texts, *replies, partial=True).values.tolist() == [1, 0.5, 0, 0, 0, 0]


def test_what_stands_in_the_thinking_is_not_the_answer(texts: Callable[..., Group]) -> None:
    thinking = "<think>```python\na, b = map(int, input().split())\nprint(a * b)\n```</think>done"
    assert judged(texts, thinking).outcomes == ("unparseable",)


def test_wrong_settings_are_errors_before_any_work() -> None:
    with pytest.raises(ValueError, match="no language 'pyton'"):
        PassesTests("pyton")
    with pytest.raises(ValueError, match=r"PassesTests.tolerance"):
        PassesTests(tolerance=-1)


def test_tests_that_can_not_be_read_are_no_fault_of_the_answer(texts: Callable[..., Group]) -> None:
    with pytest.warns(RuntimeWarning, match="at least one"):
        found = asyncio.run(PassesTests()(texts("x", "y", answer="[]")))
    assert found.outcomes == ("failed", "failed") and found.values.isnan().all()


def test_a_problem_without_tests_is_named(texts: Callable[..., Group]) -> None:
    with pytest.raises(ValueError, match="has no tests"):
        asyncio.run(PassesTests()(texts("x", answer=None)))


@pytest.mark.parametrize("name", languages())
def test_one_verifier_judges_the_same_task_in_any_language(texts: Callable[..., Group], name: str) -> None:
    """The problem names the language; tests are the same in all."""
    if not language(name).installed():
        pytest.skip(f"{name} is not installed")
    problem = Programs(name, families=("sum",)).problem("train", 3)
    assert problem.answer == Programs(families=("sum",)).problem("train", 3).answer
    right = problem.info["solution"]
    off_by_one, unfenced = re.sub(r"a\+b", "a+b+1", right), right.replace("```", "", 1)
    group = texts(right, off_by_one, unfenced, answer=problem.answer, language=name)
    found = asyncio.run(PassesTests("")(group))
    assert (found.values.tolist(), found.outcomes) == ([1, 0, 0], ("right", "wrong", "unparseable"))


def test_a_problem_without_a_language_is_named(texts: Callable[..., Group]) -> None:
    with pytest.raises(ValueError, match="names no language"):
        asyncio.run(PassesTests("")(texts("x", answer=TESTS)))


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("print('[1] 3')", "wrong"),
        ("while True: pass", "timed out"),
        ("import os\nwhile True: os.write(1, b'x' * 2**20)", "output too long"),
    ],
)
def test_plain_output_in_time_and_of_some_length_is_wanted(
    texts: Callable[..., Group], code: str, outcome: str
) -> None:
    group = texts(block(code), answer=json.dumps([{"stdin": "", "stdout": "3"}]))
    assert asyncio.run(PassesTests(limits=Limits(seconds=1))(group)).outcomes == (outcome,)


def test_an_endless_program_is_ended_in_time_in_another_language(texts: Callable[..., Group]) -> None:
    if not language("lua").installed():
        pytest.skip("lua is not installed")
    start = time.monotonic()
    found = asyncio.run(
        PassesTests("lua", limits=Limits(seconds=1))(texts(block("while true do end", "lua"), answer=TESTS))
    )
    assert found.outcomes == ("timed out",) and time.monotonic() - start < 4
