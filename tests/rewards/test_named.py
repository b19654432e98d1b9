from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from whet.rewards.code import PassesTests
from whet.rewards.format import TagFormat
from whet.rewards.named import named, names
from whet.rewards.structured import RightField
from whet.rewards.user import UserReward
from whet.rewards.verified import Verified
from whet.types import Group
from whet.verifiers import find


def test_verifiers_and_format_have_names():
    assert set(names()) >= {"exact", "numeric", "math", "choice", "gsm8k", "countdown", "format"}
    assert named("numeric") == Verified("numeric", extract="final")
    assert named("format") == TagFormat()
    assert named("code") == PassesTests() and named("field") == RightField()


def test_a_users_own_file_is_named_by_its_path(tmp_path: Path):
    (tmp_path / "own.py").write_text("def f(completions):\n    return [0.0 for _ in completions]\n")
    assert named(f"{tmp_path}/own.py:f") == UserReward(f"{tmp_path}/own.py:f")
    (tmp_path / "mine.py").write_text("def verify(answer, gold):\n    return 'right'\n")
    assert named(f"{tmp_path}/mine.py:verify") == Verified(f"{tmp_path}/mine.py:verify", extract="final")
    with pytest.raises(ValueError, match=r"'file.py:function'"):
        named(f"{tmp_path}/own.py")


@pytest.mark.parametrize(("wrong", "says"), [("exat", "did you mean exact"), ("zzz", "exact, gsm8k.*file.py:function")])
def test_an_unknown_name_lists_the_known(wrong: str, says: str):
    with pytest.raises(ValueError, match=says):
        named(wrong)


TABLE = "CREATE TABLE t (a); INSERT INTO t VALUES (1)"
SUM = {"dataset": "chain_sum", "config": {}, "entry": {"question": "2 + 3 =", "answer": "5", "metadata": {}}}
GOLD: dict[str, str | tuple[str, str]] = {  # a gold answer, and a right one where that is another
    "exact": "Ann B",
    "numeric": "18",
    "math": "\\frac{1}{2}",
    "gsm8k": "18",
    "choice": "B",
    "countdown": ('{"numbers": [3, 4], "target": 7}', "3+4"),
    "assignment": "Ann=knight, Bob=knave",
    "constraints": ('{"type": "length", "unit": "words", "exactly": 2}', "red cat"),
    "json_schema": ('{"value": {"a": [1, 2]}}', '{"a": [1, 2]}'),
    "reasoning_gym": (json.dumps(SUM), "5"),
    "sql": (json.dumps({"sql": "SELECT a FROM t", "databases": [{"script": TABLE}]}), "SELECT a FROM t"),
    "steps": ('{"question": "(3*4+5) mod 10=?"}', "3*4=2;2+5=7"),
    "tool_calls": '[{"name": "f", "arguments": {"a": 1}}]',
}


def test_every_verifier_has_a_gold_answer_here():
    assert set(GOLD) == set(find.known())


@pytest.mark.parametrize("name", sorted(GOLD))
def test_the_gold_answer_scores_one_and_blanks_and_spam_nothing(name: str, texts: Callable[..., Group]):
    entry = GOLD[name]
    gold, answer = entry if isinstance(entry, tuple) else (entry, entry)
    spam = f"{answer} or " + " or ".join(map(str, range(100)))
    group = texts(answer, f"<think>x</think><answer> {answer}</answer>", "", " ", "\n\t", spam, answer=gold)
    values = named(name)(group)
    assert inspect.isawaitable(values)
    assert asyncio.run(_waited(values)).values.tolist() == [1, 1, 0, 0, 0, 0]


async def _waited(value):
    return await value
