"""The doctor within `whet run`, and on its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.runs import Warnings
from typer.testing import CliRunner

from whet.cli import app
from whet.launch import Order, start

RECIPE = """
from dataclasses import dataclass
import torch
from whet.models.tiny import TinyQwen
from whet.objectives.clip import Clip
from whet.recipe import Recipe
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

@dataclass(frozen=True)
class Uneven:
    modulus: int = 7
    scale: float = 1.0

    def __call__(self, group):
        return torch.tensor([float(t.rows[-1].tokens.sum() % self.modulus) for t in group.trajectories])

uneven = Uneven()
reward = Weighted({"correct": exact, "uneven": uneven})
stage = RL(task, rollout=attempts, reward=reward, train={"policy": Train(Clip(), lr=1e-3)}, problems=4, steps=3)
recipe = Recipe(
    model=TinyQwen(width=32, layers=2, context=64),
    arms={"a": [SFT(task, steps=4, problems=8), stage]},
    evaluate=[Evaluate(task, attempts, reward, problems=4)],
)
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    file = tmp_path / "mine.py"
    file.write_text(RECIPE)
    return file


def timeless(folder: Path) -> list[dict]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if not name.startswith("time/")} for line in lines]


def test_a_run_comes_out_the_same_with_and_without_the_doctor(recipe: Path, tmp_path: Path) -> None:
    for name, doctor in (("with", True), ("without", False)):
        start(Order(str(recipe)), tmp_path / name, Warnings(), doctor=doctor)
    assert timeless(tmp_path / "with") == timeless(tmp_path / "without")
    for file in ("model/model.safetensors", "evaluations/after/test.json", "rollouts/2-00000002.parquet"):
        assert (tmp_path / "with" / file).read_bytes() == (tmp_path / "without" / file).read_bytes(), file


def test_an_error_stops_a_run_before_its_first_step(recipe: Path, tmp_path: Path) -> None:
    recipe.write_text(RECIPE.replace('{"correct": exact, "uneven": uneven}', '{"one": lambda group: torch.ones(4)}'))
    with pytest.raises(ValueError, match=r"reward 'one' on problem .* gave 4 values for [28]"):
        start(Order(str(recipe)), tmp_path / "run", Warnings(), doctor=True)
    constant = '{"one": lambda group: torch.ones(len(group.trajectories))}'
    recipe.write_text(
        RECIPE.replace('{"correct": exact, "uneven": uneven}', constant).replace("evaluate=[E", "measures=[],#")
    )
    with pytest.raises(ValueError, match="constant reward: a gold answer gets another reward than none; got 1 for all"):
        start(Order(str(recipe)), tmp_path / "run", Warnings(), doctor=True)
    assert not (tmp_path / "run").exists()


def test_the_command_runs_all_the_same_if_it_is_told_so(recipe: Path, tmp_path: Path) -> None:
    words = ["run", str(recipe), "--set", "rollout.decoding.max_tokens=2", "--out", str(tmp_path / "run")]
    refused = CliRunner().invoke(app, words)
    assert refused.exit_code == 2 and not (tmp_path / "run").exists()
    last = refused.stderr.splitlines()[-1]
    assert last.startswith("error: length: ") and "--no-doctor" in last
    assert CliRunner().invoke(app, [*words, "--no-doctor"]).exit_code == 0


def test_warnings_are_shown_and_the_run_goes_on(recipe: Path, tmp_path: Path) -> None:
    recipe.write_text(
        RECIPE.replace("[SFT(task, steps=4, problems=8), stage]", "[stage]").replace("exact,", "exact}) #")
    )
    screen = Warnings()
    start(Order(str(recipe)), tmp_path / "run", screen, doctor=True)
    assert any(text.startswith("reward spread: ") for text in screen.said), screen.said
    assert len(timeless(tmp_path / "run")) == 3


def unread(recipe: Path, *settings: str) -> list[str]:
    words = [word for setting in settings for word in ("--set", setting)]
    told = CliRunner().invoke(app, ["doctor", str(recipe), *words, "--json"])
    assert told.exit_code == 0, told.output
    return [finding["got"] for finding in json.loads(told.stdout)["a"] if finding["name"] == "unread setting"]


def test_the_command_tells_of_settings_that_no_step_reads(recipe: Path) -> None:
    assert unread(recipe, "reward.terms.uneven.scale=2.0", "reward.terms.uneven.modulus=5") == [
        "reward.terms.uneven.scale, which nothing read in 2 real steps"
    ]


def test_settings_that_steps_read_are_no_finding(recipe: Path) -> None:
    assert unread(recipe, "1.rollout.group=3", "1.train.policy.warmup=1", "1.rollout.decoding.min_p=0.0") == []
    assert unread(recipe, "0.enough=0.5", "task.operators=+", "1.train.policy.objective.low=0.1", "1.steps=5") == []
    assert unread(recipe, "1.reward.weights.uneven=0.5", "evaluate.0.problems=3", "1.save.every=2") == []


def test_the_command_says_what_is_wrong(recipe: Path) -> None:
    good = CliRunner().invoke(app, ["doctor", str(recipe)])
    assert (good.exit_code, good.stdout) == (0, "a: nothing found\n"), good.output
    bad = CliRunner().invoke(app, ["doctor", str(recipe), "--set", "rollout.decoding.max_tokens=2"])
    assert bad.exit_code == 1
    assert "error: length: gold answers are shorter than the limit on an attempt" in bad.stdout
