"""What a user names on the command line, as a task."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from whet.sources import environment, mixed, rows_of, there
from whet.tasks.gymnasium import Gymnasium
from whet.tasks.mixture import Mixture
from whet.tasks.rows import Rows


def written(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_each_source_has_columns_of_its_own(tmp_path: Path) -> None:
    plain = rows_of(written(tmp_path / "a.jsonl", [{"problem": "q", "answer": "1"}]))
    verl = rows_of(
        written(
            tmp_path / "b.jsonl",
            [{"prompt": [{"role": "user", "content": "q"}], "reward_model": {"ground_truth": "1"}}],
        )
    )
    assert (plain.prompt, plain.answer) == ("problem", "answer")
    assert (verl.prompt, verl.answer, verl.solution) == ("prompt", "reward_model.ground_truth", "extra_info.answer")


def test_sources_are_mixed_by_name_and_weight(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    files = [tmp_path / "a.jsonl", tmp_path / "x" / "a.jsonl", tmp_path / "b.jsonl"]
    sources = [rows_of(written(file, [{"question": "q", "answer": "1"}])) for file in files]
    task = mixed(sources, "2, 1,0.5")
    assert isinstance(task, Mixture)
    assert task.weights == {"a": 2, "a-2": 1, "b": 0.5}
    assert mixed(sources[:1]) is sources[0]
    assert isinstance(whole := mixed(sources), Mixture) and not whole.weights


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ("1", r"gives 1 numbers \(1\) for 2 --data"),
        ("1,2,3", "gives 3 numbers"),
        ("1,x", "got 'x'"),
        ("1,-1", "got '-1'"),
        ("1,inf", "got 'inf'"),
        ("0,0", "not all 0"),
    ],
)
def test_wrong_weights_are_refused(weights: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        mixed([Rows("a"), Rows("b")], weights)


def test_a_configuration_follows_the_name_of_a_hub_data_set_and_never_a_file(tmp_path: Path) -> None:
    odd = written(tmp_path / "a:b.jsonl", [{"question": "q", "answer": "1"}])
    assert rows_of(odd).path == odd
    assert rows_of("openai/gsm8k:main", "question", "answer") == Rows("openai/gsm8k", subset="main")
    with pytest.raises(ValueError, match=r"there is no data file or folder \./none"):
        there("./none", "data file or folder")


def test_an_environment_is_named_by_kind_and_made_with_arguments() -> None:
    task = environment("gymnasium:FrozenLake-v1", ["is_slippery=false", "map_name=8x8"], "Be brief.")
    assert task == Gymnasium("FrozenLake-v1", {"is_slippery": False, "map_name": "8x8"}, system="Be brief.")


@pytest.mark.parametrize(
    ("named", "arguments", "said"),
    [
        ("FrozenLake-v1", [], "is gymnasium:NAME or verifiers:NAME, got 'FrozenLake-v1'"),
        ("gymnasium:", [], "got 'gymnasium:'"),
        ("gym:FrozenLake-v1", [], "got 'gym:FrozenLake-v1'"),
        ("gymnasium:FrozenLake-v1", ["slippery"], "is name=value, got 'slippery'"),
    ],
)
def test_wrong_environments_are_refused(named: str, arguments: list[str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        environment(named, arguments)
