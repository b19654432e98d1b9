from __future__ import annotations

import asyncio
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

import whet
from whet.models.tiny import character_tokenizer
from whet.sandbox.language import language
from whet.tasks.overlap import overlap
from whet.tasks.program_families import FAMILIES, languages, query, read, statement, texts, words
from whet.tasks.programs import Programs
from whet.types import Problem
from whet.verifiers.code import Checked, check, read_tests

needs_sandbox = pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")
MANY = [Programs().problem("train", i) for i in range(400)]
EACH = {problem.info["family"]: problem for problem in MANY}  # one of each family


def asked(problem: Problem) -> str:
    return problem.prompt[0]["content"]  # type: ignore[index]


def number(problem: Problem) -> int:
    return int(re.findall(r"\d+", asked(problem).replace("1 to n", ""))[-1])


async def _checked(name: str) -> dict[tuple[str, tuple[str, str]], Checked]:
    """Every program of a language, right and with each slip, on the tests of one problem of its family."""
    told = texts(name)
    places = [(family, slip) for family in FAMILIES for slip in (("", ""), *told.slips[family])]
    programs = [told.code(family, number(EACH[family]), slip) for family, slip in places]
    tests = [read_tests(EACH[family].answer) for family, _ in places]
    found = await asyncio.gather(*(check(*each, name) for each in zip(programs, tests, strict=True)))
    return dict(zip(places, found, strict=True))


@needs_sandbox
@pytest.mark.parametrize("name", languages())
def test_every_program_is_right_and_every_slip_of_it_is_not(name: str) -> None:
    if not language(name).installed():
        pytest.skip(f"{name} is not installed")
    for (family, slip), found in asyncio.run(_checked(name)).items():
        assert (found.outcome == "right") == (slip == ("", "")), (family, slip, found)


def test_the_answer_is_what_the_statement_asks_for() -> None:
    problem = EACH["largest"]
    told = problem.answer[0]
    queries = [list(map(int, line.split())) for line in told["stdin"].splitlines()[1:]]
    assert told["stdin"].splitlines()[0] == "12" == str(len(queries))
    assert told["stdout"] == "\n".join(str(max(one) + number(problem)) for one in queries)
    values = {name: family.value(5, *given) for name, family in FAMILIES.items() for given in [EXAMPLES[family.kind]]}
    assert values == {
        **{"sum": 6, "product": 3, "difference": 15, "largest": 12, "smallest": -7, "multiple": 60},
        **{"remainder": 2, "quotient": 2, "total": 390, "distance": 7, "reverse": "dcba5", "vowels": 6},
    }


EXAMPLES = {"one": (12,), "two": (2, -1), "three": (2, -2, 7), "word": ("abcd",)}


def test_a_question_is_of_one_split_in_all_languages_and_tests_are_never_shown() -> None:
    assert overlap(Programs(), "train", "test", 1500) == []
    for name in languages():
        for problem in (Programs(name).problem("test", i) for i in range(50)):
            family, k = problem.info["family"], number(problem)
            assert asked(problem) == f"{statement(family, k)}{name}"
            assert (family, k) not in {(one.info["family"], number(one)) for one in MANY}
    assert len({one.answer[0]["stdin"] for one in MANY}) == len(MANY)  # drawn anew, for the same question too
    assert len({asked(one) for one in MANY}) < len(MANY)


def test_a_share_of_the_solutions_has_a_slip() -> None:
    task = Programs("lua", wrong=0.6)
    problems = [task.problem("train", i) for i in range(400)]
    assert 0.5 < sum(one.info["slip"] for one in problems) / 400 < 0.7
    for one, right in zip(problems, (Programs("lua").problem("train", i) for i in range(400)), strict=True):
        assert (one.info["solution"] != right.info["solution"]) == one.info["slip"]
        assert one.prompt == right.prompt and one.answer == right.answer


def test_every_word_is_one_token_and_texts_come_back() -> None:
    tokenizer = character_tokenizer(words=words(range(2, 31)))
    for name in languages():
        for i in range(100):
            problem = Programs(name, wrong=0.5).problem("train", i)
            for text, most in ((asked(problem), 15), (problem.info["solution"], 56)):
                ids = tokenizer.encode(text)
                assert tokenizer.decode(ids) == text and len(ids) <= most


def test_hints_are_those_of_the_sandbox() -> None:
    assert asked(Programs("lua", hint=True).problem("train", 0)).endswith(f" lua {language('lua').hint}")


def test_no_code_but_the_files_knows_a_language() -> None:
    others = set(languages()) - {"python", "r"}  # words of their own
    folder = Path(whet.__path__[0])
    for file in (folder / "tasks/programs.py", folder / "tasks/program_families.py", folder / "rewards/code.py"):
        assert not others & set(re.findall(r"[a-z]+", file.read_text().lower())), file


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"language": "latin"}, "no programs in 'latin', only in fortran"),
        ({"families": ()}, "families must be some of sum"),
        ({"families": ("sums",)}, "families must be some of sum"),
        ({"largest": 1}, "largest must be at least 2"),
        ({"queries": 0}, "queries must be at least 1"),
        ({"wrong": 1.5}, "wrong is a share"),
    ],
)
def test_wrong_settings_are_refused(wrong: dict, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Programs(**wrong)


def test_a_file_without_a_family_or_with_an_impossible_slip_is_refused(tmp_path: Path) -> None:
    folder = Path(whet.__path__[0]) / "tasks/program_languages"
    whole = (folder / "lua.toml").read_text()
    for text, says in (
        (re.sub(r"sum = .*\n", "", whole), "must have families"),
        (whole.replace("one = ", "ones = "), "must have frames"),
        (whole.replace('["a+b", "a-b"]', '["a+c", "a-b"]'), "has no place in the program for sum"),
    ):
        (tmp_path / "own.toml").write_text(text)
        with pytest.raises(ValueError, match=says):
            read(tmp_path / "own.toml")


def test_queries_are_of_their_kind() -> None:
    rng = np.random.default_rng(0)
    assert [len(query(rng, kind)) for kind in ("one", "two", "three", "word")] == [1, 2, 3, 1]
