from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from helpers.runs import Listed
from hypothesis import given
from hypothesis import strategies as st

from whet.schedule import Linear, at
from whet.tasks.chain_sum import ChainSum
from whet.tasks.countdown import Countdown
from whet.tasks.mixture import Mixture
from whet.tasks.overlap import overlap
from whet.tasks.rows import Rows
from whet.types import Problem


def rows(folder: Path, name: str, count: int) -> Rows:
    path = folder / f"{name}.jsonl"
    path.write_text("".join(json.dumps({"question": f"{name} {k}", "answer": str(k)}) + "\n" for k in range(count)))
    return Rows(str(path), holdout=0.0)


def test_ids_and_info_name_the_source():
    task = Mixture({"sums": ChainSum(), "games": Countdown()})
    for i in range(20):
        problem = task.problem("train", i)
        source = problem.info["source"]
        assert problem.id.startswith(f"{source}:")
        held = task.sources[source].problem("train", i)
        assert (problem.prompt, problem.answer) == (held.prompt, held.answer)
        assert problem == task.problem("train", i)


def test_weights_are_shares():
    task = Mixture({"a": ChainSum(), "b": Countdown(), "c": ChainSum(terms=4)}, {"a": 3, "b": 1, "c": 0})
    drawn = Counter(task.problem("train", i).info["source"] for i in range(800))
    assert 0.70 < drawn["a"] / 800 < 0.80 and drawn["c"] == 0


def test_finite_sources_without_weights_take_turns(tmp_path: Path):
    task = Mixture({"a": rows(tmp_path, "a", 4), "b": rows(tmp_path, "b", 2), "c": rows(tmp_path, "c", 1)})
    assert task.size("train") == 7
    ids = ["a:a/train/0", "b:b/train/0", "c:c/train/0", "a:a/train/1", "b:b/train/1", "a:a/train/2", "a:a/train/3"]
    assert [task.problem("train", i).id for i in range(7)] == ids
    with pytest.raises(ValueError, match="has 7 problems, got index 7"):
        task.problem("train", 7)


@given(sizes=st.lists(st.integers(0, 6), min_size=1, max_size=5))
def test_in_turns_every_problem_comes_once_and_no_source_runs_ahead(sizes: list[int]):
    task = Mixture({str(k): Listed((Problem("p", "?"),) * size) for k, size in enumerate(sizes)})
    places = [task._place("train", i) for i in range(task.size("train") or 0)]
    assert sorted(places) == [(str(k), i) for k, size in enumerate(sizes) for i in range(size)]
    assert [i for _, i in places] == sorted(i for _, i in places)


def test_finite_sources_with_weights_are_endless(tmp_path: Path):
    task = Mixture({"a": rows(tmp_path, "a", 3), "b": ChainSum()}, {"a": 1, "b": 1})
    assert task.size("train") is None
    seen = {task.problem("train", i).id for i in range(100)}
    assert {id_ for id_ in seen if id_.startswith("a:")} == {"a:a/train/0", "a:a/train/1", "a:a/train/2"}


def test_splits_of_a_mixture_do_not_overlap():
    assert overlap(Mixture({"a": ChainSum(), "b": Countdown()}), count=400) == []


def test_weights_may_be_schedules():
    task = Mixture({"a": ChainSum(), "b": Countdown()}, {"a": Linear(1, 0, 10), "b": 1})
    assert at(task, 10).weights == {"a": 0.0, "b": 1}
    assert {at(task, 10).problem("train", i).info["source"] for i in range(20)} == {"b"}


def test_a_source_without_problems_is_an_error(tmp_path: Path):
    with pytest.raises(ValueError, match="'a' has no problems in 'test'; give it weight 0"):
        Mixture({"a": rows(tmp_path, "a", 3)}, {"a": 1}).problem("test", 0)


@pytest.mark.parametrize(
    ("sources", "weights", "message"),
    [
        ({}, {}, "sources is empty"),
        ({"a": ChainSum()}, {"b": 1}, r"must name \['a'\]"),
        ({"a": ChainSum()}, {"a": -1}, "must be 0 or more"),
        ({"a": ChainSum()}, {"a": 0}, "not all 0"),
        ({"a": ChainSum()}, {"a": float("nan")}, "must be 0 or more"),
    ],
)
def test_wrong_settings_are_refused(sources: dict[str, Any], weights: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        Mixture(sources, weights)
