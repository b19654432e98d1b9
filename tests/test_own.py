"""A recipe from a user's own data."""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import replace
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
from whet.stages.evaluate import Evaluate
from whet.stages.rl import RL
from whet.stages.sft import SFT
from whet.tasks.mixture import Mixture


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


def test_what_may_be_given_again_is_said_again_and_what_was_left_out_is_not() -> None:
    said = command(
        {
            "model": "/m/mine",
            "data": ["/d/a.jsonl", "org/b:main"],
            "answer": None,
            "weights": "2,1",
            "plain": True,
            "env": "verifiers:/e/game.py",
            "env_args": ["count=3", "kind=hard"],
            "lr": 0.0,
            "test": [],
        }
    )
    files = ["--model", "mine", "--data", "a.jsonl", "--data", "org/b:main", "--weights", "2,1", "--plain"]
    env = ["--env", "verifiers:game.py", "--env-arg", "count=3", "--env-arg", "kind=hard"]
    assert shlex.split(said) == ["whet", "train", *files, *env, "--lr", "0.0", "--seed", "0"]
    assert "--plain" not in command({"model": "tiny", "plain": False})


def test_several_sources_are_mixed_for_training_and_measured_in_turns(solved: Path, bare: Path) -> None:
    recipe = own_data("tiny", [str(solved), str(bare)], reward="gsm8k", weights="3,1", sft_steps=0)
    (loop,), (after,) = recipe.arms["train"], recipe.evaluate
    assert isinstance(loop, RL) and isinstance(loop.task, Mixture) and isinstance(after, Evaluate)
    assert loop.task.weights == {"solved": 3, "bare": 1}
    assert loop.task.size("train") is None
    assert after.task == replace(loop.task, weights={})
    asked = [problem.info["source"] for problem in after.asked()]
    assert asked[:4] == ["solved", "bare"] * 2
    assert len(asked) == len({problem.id for problem in after.asked()})


def test_lists_and_environments_are_settled_too(solved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(solved.parent)
    own = settled({"data": ["solved.jsonl", "org/data:main"], "test": [], "env": f"verifiers:{solved.name}"})
    assert own == {"data": [str(solved), "org/data:main"], "test": [], "env": "verifiers:solved.jsonl"}
    (solved.parent / "game.py").write_text("")
    assert settled({"env": "verifiers:game.py"})["env"] == f"verifiers:{solved.parent / 'game.py'}"
    assert settled({"env": "gymnasium:FrozenLake-v1"}) == {"env": "gymnasium:FrozenLake-v1"}


def test_plain_prompts_are_texts_and_a_model_without_a_template_asks_for_them(bare: Path, tmp_path: Path) -> None:
    lm = SMALL.build(0)
    lm.codec.tokenizer.chat_template = None
    model = str(save(lm, tmp_path / "base"))
    with pytest.raises(ValueError, match=r"is a base model without a chat template.*add --plain"):
        own_data(model, str(bare), max_tokens=4)
    recipe = own_data(model, str(bare), max_tokens=4, plain=True)
    (loop,) = recipe.arms["train"]
    assert isinstance(loop, RL) and isinstance(loop.task.problem("train", 0).prompt, str)


def test_a_reward_that_compares_with_nothing_needs_no_answers(tmp_path: Path) -> None:
    file = str(written(tmp_path / "asked.jsonl", [{"question": f"{i}?", "level": i} for i in range(9)]))
    (loop,) = own_data("tiny", file, reward="format").arms["train"]
    assert isinstance(loop, RL) and loop.task.problem("train", 0).answer is None
    with pytest.raises(ValueError, match="the columns are question, level; say it with --answer"):
        own_data("tiny", file)
    with pytest.raises(ValueError, match="compares with an answer; say which column"):
        own_data("tiny", file, answer="")


def test_verl_rows_keep_their_worked_solutions(tmp_path: Path) -> None:
    rows = [
        {
            "prompt": [{"role": "user", "content": f"{i} plus 1?"}],
            "reward_model": {"style": "rule", "ground_truth": str(i + 1)},
            "extra_info": {"answer": f"Count on.\n#### {i + 1}"},
        }
        for i in range(20)
    ]
    recipe = own_data("tiny", str(written(tmp_path / "verl.jsonl", rows)))
    assert isinstance(recipe.model, Made)  # warmed up on them
