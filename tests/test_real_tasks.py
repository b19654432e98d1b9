"""Real problems flow through the whole program: reasoning-gym's, and GSM8K's own text."""

import json
import re
from pathlib import Path

import pyarrow.parquet as parquet
import pytest
from typer.testing import CliRunner

from whet.cli import app

EXAMPLES = sorted((Path(__file__).resolve().parents[1] / "docs" / "examples").glob("gym_*.py"))
RECIPES = [file for file in EXAMPLES if file.stem != "gym_common"]
WORDS = {"right", "wrong", "unparseable", "timed out", "crashed", "failed"}


def ran(*words: str) -> str:
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize("file", RECIPES, ids=[file.stem for file in RECIPES])
def test_a_reasoning_gym_task_trains_and_is_measured(file: Path, tmp_path: Path) -> None:
    small = ("steps=2", "problems=4", "rollout.group=4", "model.stages.0.steps=4", "evaluate.0.problems=6")
    ran("run", str(file), "--out", str(tmp_path / "run"), *(word for one in small for word in ("--set", one)))
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert 0 <= report["after"]["pass@1"]["value"] <= 1
    spoken = parquet.read_table(tmp_path / "run" / "rollouts", columns=["outcome/correct", "prompt"]).to_pydict()
    assert len(spoken["prompt"]) == 2 * 4 * 4
    assert set(spoken["outcome/correct"]) <= WORDS - {"failed"}  # the scorer itself always works


def test_gsm8k_trains_from_its_own_files(shared_data: Path, tmp_path: Path) -> None:
    train = tmp_path / "train.jsonl"  # enough of it for a tokenizer
    train.write_text("\n".join((shared_data / "gsm8k" / "train.jsonl").read_text().splitlines()[:400]) + "\n")
    test = shared_data / "gsm8k" / "test.jsonl"
    files = ("--data", str(train), "--test", str(test), "--prompt", "question", "--answer", "answer")
    small = ("--steps", "2", "--sft-steps", "2", "--problems", "2", "--group", "2", "--max-tokens", "8")
    few = ("--test-problems", "3", "--samples", "2", "--out", str(tmp_path / "run"))
    # no worked solution is as short as that, which the doctor would not let pass
    ran("train", "--model", "tiny", "--reward", "gsm8k", "--no-doctor", *files, *small, *few)
    rows = parquet.read_table(tmp_path / "run" / "rollouts").to_pylist()
    assert len(rows) == 2 * 2 * 2
    assert {row["outcome/correct"] for row in rows} <= WORDS - {"failed"}
    assert all(re.fullmatch(r"-?\d+(\.\d+)?", row["answer"]) for row in rows)  # what stands behind "####"
    questions = [json.loads(line)["question"] for line in train.read_text().splitlines()]
    assert all(any(question in row["prompt"] for question in questions) for row in rows)
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 2
