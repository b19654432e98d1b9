from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from pathlib import Path

import pytest

from whet.rewards.format import TagFormat
from whet.rewards.named import named, names
from whet.rewards.user import UserReward
from whet.rewards.verified import Verified
from whet.types import Group


def test_verifiers_and_format_have_names():
    assert set(names()) >= {"exact", "numeric", "math", "choice", "gsm8k", "countdown", "format"}
    assert named("numeric") == Verified("numeric", extract="final")
    assert named("format") == TagFormat()


def test_a_users_own_file_is_named_by_its_path(tmp_path: Path):
    (tmp_path / "own.py").write_text("def f(completions):\n    return [0.0 for _ in completions]\n")
    assert named(f"{tmp_path}/own.py:f") == UserReward(f"{tmp_path}/own.py:f")
    with pytest.raises(ValueError, match=r"'file.py:function'"):
        named(f"{tmp_path}/own.py")


@pytest.mark.parametrize(("wrong", "says"), [("exat", "did you mean exact"), ("zzz", "exact, gsm8k.*file.py:function")])
def test_an_unknown_name_lists_the_known(wrong: str, says: str):
    with pytest.raises(ValueError, match=says):
        named(wrong)


GOLD = {
    "exact": "Ann B",
    "numeric": "18",
    "math": "\\frac{1}{2}",
    "gsm8k": "18",
    "choice": "B",
    "countdown": ('{"numbers": [3, 4], "target": 7}', "3+4"),
    "assignment": "Ann=knight, Bob=knave",
}


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
