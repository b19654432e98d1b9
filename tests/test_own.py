"""A recipe from a user's own data."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path
from typing import Any

import pytest
from helpers.runs import SMALL

from whet.launch import Order, find
from whet.models.lm import save
from whet.models.pretrained import Pretrained
from whet.models.tiny import TinyQwen
from whet.own import command, own_data, settled
from whet.recipe import Made, cache
from whet.stages.rl import RL
from whet.stages.sft import SFT


@pytest.fixture
def solved(tmp_path: Path) -> Path:
    rows = [{"question": f"{i} plus 1?", "answer": f"{i}+1={i + 1}\n#### {i + 1}"} for i in range(30)]
    return written(tmp_path / "solved.jsonl", rows)


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    return written(tmp_path / "bare.jsonl", [{"question": f"{i} plus 1?", "answer": str(i + 1)} for i in range(30)])


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_tiny_model_with_worked_solutions_is_warmed_up_before_it_plays(solved: Path) -> None:
    recipe = own_data("tiny", str(solved), reward="gsm8k", max_tokens=50)
    assert isinstance(recipe.model, Made) and isinstance(recipe.model.model, TinyQwen)
    assert isinstance(recipe.model.stages[0], SFT) and recipe.model.stages[0].steps == 200
    assert [type(stage) for stage in recipe.arms["train"]] == [RL]
    prompt = 12  # about so many tokens, with the chat template
    assert recipe.model.model.context % 64 == 0 and recipe.model.model.context >= 50 + prompt


def test_without_solutions_there_is_no_warm_start_unless_one_is_asked_for(bare: Path) -> None:
    assert isinstance(own_data("tiny", str(bare), reward="numeric").model, TinyQwen)
    with pytest.raises(ValueError, match="--sft-steps needs a worked solution for every problem, and 'bare/train/"):
        own_data("tiny", str(bare), reward="numeric", sft_steps=3)


def test_a_given_model_learns_slower_and_imitates_inside_the_run(solved: Path, tmp_path: Path) -> None:
    model = str(save(SMALL.build(0), tmp_path / "model"))
    recipe = own_data(model, str(solved), reward="gsm8k", sft_steps=5)
    assert recipe.model == Pretrained(model)
    first, second = recipe.arms["train"]
    assert isinstance(first, SFT) and first.train.lr == 1e-5
    assert isinstance(second, RL) and second.train["policy"].lr == 1e-6


def test_the_tokenizer_is_made_once_per_data(solved: Path, bare: Path) -> None:
    one, again, other = (own_data("tiny", str(file), reward="gsm8k", sft_steps=0) for file in (solved, solved, bare))
    assert one == again
    folders = {recipe.model.tokenizer for recipe in (one, other)}  # type: ignore[union-attr]
    assert len(folders) == 2
    assert all(Path(folder).parent == cache() / "tokenizers" for folder in folders)


def test_data_of_one_prompt_can_not_be_held_out(tmp_path: Path) -> None:
    file = written(tmp_path / "one.jsonl", [{"question": "1?", "answer": "1"}] * 5)
    with pytest.raises(ValueError, match="too few different prompts for a 'test' split"):
        own_data("tiny", str(file))


def test_an_order_holds_all_that_makes_the_recipe_again(solved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(solved.parent)
    own = settled({"model": "tiny", "data": solved.name, "reward": "gsm8k", "sft_steps": 0})
    assert own["data"] == str(solved)
    order = Order("own", "train", own=json.loads(json.dumps(own)))
    monkeypatch.chdir("/")
    assert find(order) == own_data(**own)


def test_paths_are_settled_and_names_of_the_hub_are_not(tmp_path: Path) -> None:
    reward = tmp_path / "mine.py"
    reward.write_text("")
    near = os.path.relpath(reward)
    own = settled({"model": "org/model", "data": "org/data", "test": "", "reward": f"{near}:score"})
    assert own == {"model": "org/model", "data": "org/data", "test": "", "reward": f"{reward}:score"}


def test_the_command_that_made_a_model_names_files_and_no_places() -> None:
    said = command(
        {"model": "tiny", "data": "/home/me/it s.jsonl", "test": "", "answer": "", "sft_steps": 3}, 7, ["a=1"]
    )
    words = ["whet", "train", "--model", "tiny", "--data", "it s.jsonl", "--answer", "", "--sft-steps", "3"]
    assert shlex.split(said) == [*words, "--seed", "7", "--set", "a=1"]
