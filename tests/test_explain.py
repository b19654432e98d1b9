"""A recipe in numbers, before it runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from helpers.runs import Warnings
from typer.testing import CliRunner

from whet.cli import app
from whet.explaining import explained
from whet.launch import Order, start

RECIPE = """
from whet.models.tiny import TinyQwen
from whet.objectives.clip import Clip
from whet.recipe import Made, Recipe
from whet.rewards.verified import exact
from whet.rollouts.sample import Sample
from whet.scoring import Weighted
from whet.stages.evaluate import Evaluate
from whet.stages.learning import Train
from whet.stages.rl import RL
from whet.stages.sft import SFT
from whet.tasks.chain_sum import ChainSum
from whet.types import Decoding

task = ChainSum(terms=2, largest=9)
attempts = Sample(group=4, decoding=Decoding(max_tokens=16))
reward = Weighted({"correct": exact})
train = {"policy": Train(Clip(), lr=1e-3, epochs=2)}
stage = RL(task, rollout=attempts, reward=reward, train=train, problems=6, steps=5)
recipe = Recipe(
    model=TinyQwen(width=32, layers=2, context=64),
    arms={"a": [SFT(task, steps=4, problems=8), stage]},
    evaluate=[Evaluate(task, attempts, reward, problems=4)],
    at_scale={"train.policy.lr": 1e-6},
)
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    file = tmp_path / "mine.py"
    file.write_text(RECIPE)
    return file


def told(recipe: Path, *settings: str, **more: Any) -> dict[str, Any]:
    return explained(Order(str(recipe), settings=settings), **more)


def test_a_step_in_numbers(recipe: Path) -> None:
    said = told(recipe, "1.train.policy.minibatches=4", price=3.6)
    assert [stage["is"] for stage in said["stages"]] == ["Evaluate", "SFT", "RL"]
    stage = said["stages"][2]
    assert (stage["problems"], stage["group"], stage["attempts"]) == (6, 4, 24)
    assert stage["train"]["policy"] == {"epochs": 2, "minibatches": [2, 2, 1, 1], "updates": 8, "updates_in_all": 40}
    assert stage["valid"] == [
        "6 problems do not divide into 4 mini-batches of 'policy' evenly: minibatches 3 or 6, or problems 4 or 8, would"
    ]
    assert stage["tokens"]["longest_row"] == stage["tokens"]["prompt"] + 16
    assert stage["tokens"]["step_at_most"] == 24 * stage["tokens"]["longest_row"]
    assert 0 < stage["tokens"]["attempt_expected"] <= 16
    memory = stage["memory"]
    parts = ("process", "weights", "copies", "optimizer", "gradients", "cache", "activations", "moment")
    assert memory["total"] == sum(memory[part] for part in parts) <= memory["at_most"] < memory["there"]
    assert stage["seconds"]["stage"] == pytest.approx(5 * (stage["seconds"]["play"] + stage["seconds"]["learn"]))
    assert said["seconds"] == pytest.approx(sum(one["seconds"]["stage"] for one in said["stages"]))
    assert said["cost"] == pytest.approx(said["seconds"] / 1000)


def test_every_value_comes_from_somewhere(recipe: Path) -> None:
    said = told(recipe, "rollout.decoding.max_tokens=12", "1.train.policy.warmup=1")
    sources = {one["path"]: one["from"] for one in said["stages"][2]["settings"]}
    assert sources["rollout.decoding.max_tokens"] == "--set" == sources["train.policy.warmup"]
    assert sources["rollout.group"] == "recipe" == sources["train.policy.epochs"]
    assert sources["refills"] == "default" == sources["train.policy.objective.low"] == sources["rollout.decoding.top_p"]
    values = {one["path"]: one["value"] for one in said["stages"][2]["settings"]}
    assert (values["rollout.decoding.max_tokens"], values["problems"], values["ahead"]) == (12, 6, 0)


def test_a_warm_start_that_is_not_there_is_not_made(recipe: Path, tmp_path: Path) -> None:
    text = RECIPE.replace(
        "model=TinyQwen(width=32, layers=2, context=64)",
        "model=Made(TinyQwen(width=32, layers=2, context=72), [SFT(task, steps=10**6, problems=8)])",
    )
    recipe.write_text(text)
    said = told(recipe)
    assert "the warm start is not made yet (SFT)" in said["notes"][0]
    solution = said["stages"][2]["tokens"]["attempt_expected"]
    assert 6 <= solution <= 14  # "<answer>12</answer>" and the like, not the 16 that an untaught model writes


@pytest.mark.parametrize(
    ("setting", "why"),
    [
        ("1.train.policy.objective.high=0.28", "every ratio is 1"),
        ("1.train.policy.most_kl=0.1", "no second one to leave out"),
        ("1.train.policy.minibatches=7", "a step has 6 groups.*set it to 6 or less, or `problems` to 7 or more"),
        ("1.rollout.decoding.store_mask=true", "nothing is cut off while sampling"),
    ],
)
def test_a_setting_without_effect_is_an_error_before_any_work(
    recipe: Path, tmp_path: Path, setting: str, why: str
) -> None:
    once = () if "minibatches" in setting else ("1.train.policy.epochs=1",)
    with pytest.raises(ValueError, match=f"{setting} has no effect: .*{why}"):
        told(recipe, *once, setting)
    with pytest.raises(ValueError, match="has no effect"):
        start(Order(str(recipe), settings=(*once, setting)), tmp_path / "run", Warnings())
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "settings",
    [
        ["1.train.policy.objective.high=0.28"],  # two passes
        ["1.train.policy.epochs=1", "1.ahead=1", "1.train.policy.objective.high=0.28"],
        ["1.rollout.decoding.store_mask=true", "1.rollout.decoding.top_k=5"],
        ["1.train.policy.minibatches=6"],
    ],
)
def test_a_setting_that_may_have_an_effect_is_none(recipe: Path, tmp_path: Path, settings: list[str]) -> None:
    start(Order(str(recipe), settings=(*settings, "steps=1")), tmp_path / "run", Warnings())


def test_the_command_prints_tables_or_json(recipe: Path) -> None:
    shown = CliRunner().invoke(app, ["explain", str(recipe), "--settings", "--price", "1"])
    assert shown.exit_code == 0, shown.output
    for word in ("6 x 4 = 24", "optimizer steps: a step, in all", "train.policy.lr", "an hour", "in all: about"):
        assert word in shown.stdout, word
    said = json.loads(CliRunner().invoke(app, ["explain", str(recipe), "--json"]).stdout)
    assert said["stages"][2]["attempts"] == 24
