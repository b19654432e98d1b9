from __future__ import annotations

import asyncio
import json
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from whet.describe import describe
from whet.rewards.verified import Verified, exact
from whet.types import Group
from whet.verifiers import pool


def values(term: Verified, group: Group) -> list[float]:
    return asyncio.run(term(group)).values.tolist()


def test_right_is_one_and_all_else_zero_with_its_outcome(texts: Callable[..., Group]):
    group = texts("<answer>5</answer>", "<answer>6</answer>", "5", "<answer> </answer>", "", answer="5")
    judged = asyncio.run(exact(group))
    assert judged.values.tolist() == [1, 0, 0, 0, 0]
    assert judged.outcomes == ("right", "wrong", "unparseable", "unparseable", "unparseable")


def test_an_answers_own_crash_or_time_out_is_zero_and_our_failure_is_nan(texts: Callable[..., Group], tmp_path: Path):
    (tmp_path / "own.py").write_text(
        "import os\n\ndef verify(answer, gold):\n"
        "    if answer == 'exit': os._exit(1)\n"
        "    if answer == 'raise': raise KeyError\n"
        "    if answer == 'import': import there_is_no_such_module\n"
        "    return 'right' if answer == gold else 'wrong'\n"
    )
    term = Verified(f"{tmp_path}/own.py:verify", extract="all")
    group = texts("5", "exit", "raise", "import", "6", answer="5")
    with pytest.warns(RuntimeWarning, match="there_is_no_such_module"):
        judged = asyncio.run(term(group))
    assert judged.outcomes == ("right", "crashed", "crashed", "failed", "wrong")
    assert judged.values[:3].tolist() == [1, 0, 0]
    assert judged.values[3].isnan()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it is said once
        asyncio.run(term(group))


def test_a_grade_is_the_value(texts: Callable[..., Group], tmp_path: Path):
    (tmp_path / "share.py").write_text("def verify(answer, gold):\n    return 'wrong', len(answer) / len(gold)\n")
    judged = asyncio.run(Verified(f"{tmp_path}/share.py:verify", extract="all")(texts("a", "abc", "", answer="abcd")))
    assert judged.values.tolist() == [0.25, 0.75, 0] and judged.outcomes == ("wrong", "wrong", "unparseable")


def test_a_loop_is_timed_out(texts: Callable[..., Group], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pool, "_shared", pool.Pool(workers=1, deadline=0.3))
    (tmp_path / "own.py").write_text("def verify(answer, gold):\n    while True:\n        pass\n")
    judged = asyncio.run(Verified(f"{tmp_path}/own.py:verify", extract="all")(texts("5", answer="5")))
    assert (judged.values.tolist(), judged.outcomes) == ([0], ("timed out",))
    pool.shared().close()


def test_how_long_each_verdict_took_is_told(texts: Callable[..., Group], tmp_path: Path):
    (tmp_path / "own.py").write_text(
        "import time\n\ndef verify(answer, gold):\n    time.sleep(0.2 if answer == 'slow' else 0)\n    return 'wrong'\n"
    )
    judged = asyncio.run(Verified(f"{tmp_path}/own.py:verify", extract="all")(texts("fast", "slow", "", answer="5")))
    assert judged.seconds[0] < 0.2 <= judged.seconds[1] and judged.seconds[2] == 0


def test_options_and_extraction_are_used(texts: Callable[..., Group]):
    group = texts("\\boxed{5.4}", "<answer>5</answer>", "9 or 5", answer=5)
    assert values(Verified("numeric", extract="final", options={"absolute": 0.5}), group) == [1, 1, 0]
    assert values(Verified("numeric", extract="boxed", options={"absolute": 0.5}), group) == [1, 0, 0]


def test_an_answer_may_be_json_values(texts: Callable[..., Group]):
    gold = {"numbers": [3, 4], "target": 7}
    for answer in (gold, json.dumps(gold)):
        assert values(Verified("countdown"), texts("<answer>4+3</answer>", answer=answer)) == [1]


def test_a_group_without_answers_needs_no_worker(texts: Callable[..., Group]):
    assert values(exact, texts("", "", answer="5")) == [0, 0]


def test_a_problem_without_answer_is_named(texts: Callable[..., Group]):
    with pytest.raises(ValueError, match="'task/1' has no answer"):
        asyncio.run(exact(texts("5")))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"verifier": "exakt"}, "did you mean exact"),
        ({"verifier": "absent.py:verify"}, "no file"),
        ({"extract": "box"}, "Verified.extract"),
        ({"options": {"cas": True}}, "no option 'cas'; it has case"),
    ],
)
def test_wrong_settings_are_errors_before_any_work(arguments: dict, says: str):
    with pytest.raises(ValueError, match=says):
        Verified(**arguments)


def test_it_is_plain_data(texts: Callable[..., Group]):
    assert pickle.loads(pickle.dumps(exact)) == exact
    assert describe(exact) == {
        "is": "rewards.verified.Verified",
        "verifier": "exact",
        "extract": "answer",
        "options": {},
    }
