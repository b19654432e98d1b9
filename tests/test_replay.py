"""The stored attempts of a run, scored by another reward."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest
from helpers.runs import Warnings
from typer.testing import CliRunner

from whet.cli import app
from whet.launch import Order, start
from whet.replaying import Attempt, _flips, _told, replayed

RECIPE = """
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
from whet.tasks.rows import Rows
from whet.types import Decoding

task = Rows(DATA, chat=False)
attempts = Sample(group=4, decoding=Decoding(max_tokens=16))

def uneven(group):
    return torch.tensor([float(t.rows[-1].tokens.sum() % 7) for t in group.trajectories])

reward = Weighted({"correct": exact, "uneven": uneven}, weights={"uneven": 0.5})
stage = RL(task, rollout=attempts, reward=reward, train={"policy": Train(Clip(), lr=1e-3)}, problems=4, steps=3)
recipe = Recipe(
    model=TinyQwen(width=32, layers=2, context=64),
    arms={"a": [stage]},
    evaluate=[Evaluate(task, attempts, reward, problems=2)],
)
"""

# by what only the task knows: neither the prompt nor the answer says it
HARD = """
def score(prompts, completions, hard, **columns):
    return [float(h) for h in hard]

def length(prompts, completions, **columns):
    return [float(len(c)) for c in completions]
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("replay")
    rows = [{"question": f"{i}+1=", "answer": str(i + 1), "hard": i % 2} for i in range(40)]
    (place / "data.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (place / "mine.py").write_text(RECIPE.replace("DATA", repr(str(place / "data.jsonl"))))
    (place / "rewards.py").write_text(HARD)
    start(Order(str(place / "mine.py")), place / "run", Warnings())
    return place


def lines(folder: Path) -> list[dict[str, Any]]:
    return parquet.read_table(folder / "rollouts").to_pylist()


def test_the_run_s_own_reward_gives_what_the_run_gave(made: Path) -> None:
    told = replayed(made / "run", "run")
    assert (told["attempts"], told["groups"]) == (48, 12)
    assert told["difference"]["value"] == 0 and told["agreement"]["value"] == 1
    assert told["flips"]["value"] == 0 and (told["lost"], told["won"], told["changed"]) == (0, 0, [])


def test_another_reward_finds_what_the_task_knows_of_a_problem(made: Path) -> None:
    told = replayed(made / "run", f"{made / 'rewards.py'}:score")
    rows = lines(made / "run")
    hard = [int(row["answer"]) % 2 == 0 for row in rows]  # row i has the answer i + 1
    assert told["new"]["value"] == pytest.approx(sum(hard) / len(hard))
    assert told["old"]["value"] == pytest.approx(sum(row["reward"] for row in rows) / len(rows), abs=1e-5)
    assert told["won"] == 0 and told["lost"] > 0  # the same for all of a group
    assert told["changed"][0]["old"] != told["changed"][0]["new"]


def test_it_may_be_set_against_one_term(made: Path) -> None:
    told = replayed(made / "run", "exact", term="correct", last=1)
    assert told["attempts"] == 16 and {step["step"] for step in told["steps"]} == {2}
    assert told["old"]["value"] == pytest.approx(
        sum(row["term/correct"] for row in lines(made / "run") if row["step"] == 2) / 16
    )
    with pytest.raises(ValueError, match="the run has no term 'fast'; it has correct, uneven"):
        replayed(made / "run", "exact", term="fast")


def test_nothing_is_written(made: Path) -> None:
    before = {file: (file.stat().st_mtime_ns, file.stat().st_size) for file in (made / "run").rglob("*")}
    replayed(made / "run", "numeric")
    assert {file: (file.stat().st_mtime_ns, file.stat().st_size) for file in (made / "run").rglob("*")} == before


def test_the_command_prints_a_table_or_json(made: Path) -> None:
    words = ["replay", str(made / "run"), "--reward", f"{made / 'rewards.py'}:length"]
    table = CliRunner().invoke(app, words)
    assert table.exit_code == 0, table.output
    assert "advantage with another sign" in table.stdout and "48, 12" in table.stdout and " -> " in table.stdout
    told = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    assert told["new"]["value"] == pytest.approx(sum(len(r["text"]) for r in lines(made / "run")) / 48)
    wrong = CliRunner().invoke(app, ["replay", str(made), "--reward", "exact"])
    assert wrong.exit_code == 2 and "is no run folder" in wrong.stderr


# -- the numbers, on small ones


def attempts(old: list[float], new: list[float], slot: int = 0) -> list[Attempt]:
    pairs = enumerate(zip(old, new, strict=True))
    return [Attempt((0, 0, slot, "direct"), g, f"p{slot}", "text", a, b) for g, (a, b) in pairs]


def test_flips_are_advantages_of_another_sign() -> None:
    assert _flips(attempts([1, 0, 0, 1], [0, 1, 0, 1])) == [True, True, False, False]
    assert _flips(attempts([1, 1], [0, 1])) == [False, False]  # 0 has no sign


def test_what_is_told_of_two_groups() -> None:
    nan = float("nan")
    told = _told([*attempts([1, 0, nan], [1, 1, 1]), *attempts([0, 0, 0], [0, 1, 2], slot=1)])
    assert (told["attempts"], told["groups"]) == (6, 2)
    assert told["no_verdict"] == {"old": 1, "new": 0}
    assert told["old"]["value"] == 0.25 and told["new"]["value"] == 1.0
    assert told["difference"]["value"] == 0.75
    assert told["agreement"]["value"] == pytest.approx((1 / 2 + 1 / 3) / 2)
    assert told["right"] == {"both": 1, "old": 0, "new": 3, "neither": 1}
    assert (told["lost"], told["won"]) == (1, 1)
    assert [(a["slot"], a["attempt"]) for a in told["changed"]] == [(1, 2), (0, 1), (1, 1)]
