"""`whet train` on all that it reads, and what it says of what it can not read."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import torch
from helpers.runs import SMALL, metrics
from typer.testing import CliRunner

from whet.cli import app
from whet.launch import Order, again
from whet.metrics import plots
from whet.models.lm import load, save

SHORT = ("--steps", "2", "--problems", "2", "--group", "2", "--max-tokens", "4", "--samples", "2")
SMALLEST = (*SHORT, "--test-problems", "2", "--sft-steps", "0")
REWARD = """
def good(prompts, completions, **columns):
    return [float(len(str(c)) % 2) for c in completions]

def raises(prompts, completions, **columns):
    raise KeyError("the door")

def short(prompts, completions, **columns):
    return [1.0]
"""


def whet(*words: str | Path) -> Any:
    return CliRunner().invoke(app, [str(word) for word in words])


def written(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def sums(count: int = 20) -> list[dict[str, Any]]:
    return [{"question": f"{i}+1=", "answer": str(i + 1)} for i in range(count)]


def verl(count: int = 20) -> list[dict[str, Any]]:
    return [
        {
            "data_source": "sums",
            "prompt": [{"role": "user", "content": f"{i}+2="}],
            "reward_model": {"style": "rule", "ground_truth": str(i + 2)},
            "extra_info": {"index": i},
        }
        for i in range(count)
    ]


@pytest.fixture(autouse=True)
def without_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take half of a small run's time, and are held by tests of their own."""
    monkeypatch.setattr(plots, "draw_all", lambda *_: [])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(SMALL.build(0), tmp_path_factory.mktemp("model") / "small")


def same_again(out: Path, tmp_path: Path) -> None:
    """A run that is resumed from elsewhere is the same; so is the one that its command makes."""
    told = (out / "metrics.jsonl").read_text()
    shown = whet("resume", out)
    assert shown.exit_code == 0, (shown.output, shown.exception)
    assert (out / "metrics.jsonl").read_text() == told
    order = json.loads((out / "recipe.json").read_text())["order"]
    words = shlex.split(again(Order(**order)))
    shown = whet(*words[1:], "--out", tmp_path / "again")
    assert shown.exit_code == 0, (shown.output, shown.exception)
    ours, theirs = (load(folder / "model").state_dict() for folder in (out, tmp_path / "again"))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_mixed_sources_of_different_layouts_train_and_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "plain.jsonl", sums())
    parquet.write_table(pa.Table.from_pylist(verl()), tmp_path / "verl.parquet")
    (tmp_path / "mine.py").write_text(REWARD)
    sources = ("--data", "plain.jsonl", "--data", "verl.parquet", "--weights", "1,2", "--reward", "mine.py:good")
    shown = whet("train", "--model", "tiny", *sources, *SMALLEST, "--out", "out")
    assert shown.exit_code == 0, (shown.output, shown.exception)
    asked = parquet.read_table(tmp_path / "out" / "rollouts", columns=["problem"]).to_pydict()["problem"]
    assert {name.partition(":")[0] for name in asked} <= {"plain", "verl"}
    tested = json.loads((tmp_path / "out" / "evaluations" / "after" / "test.json").read_text())["problems"]
    assert [name.partition("/")[0] for name in tested] == ["plain:plain", "verl:verl"]
    same_again(tmp_path / "out", tmp_path)


def test_plain_texts_are_gone_on_from(model: Path, tmp_path: Path) -> None:
    file = written(tmp_path / "texts.jsonl", [{"text": f"{i}+1=", "target": str(i + 1)} for i in range(20)])
    out = tmp_path / "out"
    shown = whet("train", "--model", model, "--data", file, "--prompt", "text", "--plain", *SMALLEST, "--out", out)
    assert shown.exit_code == 0, (shown.output, shown.exception)
    prompts = parquet.read_table(out / "rollouts", columns=["prompt"]).to_pydict()["prompt"]
    assert all(prompt.endswith("+1=") and "user" not in prompt for prompt in prompts)


def test_a_saved_data_set_keeps_its_own_splits(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    both = {"train": datasets.Dataset.from_list(sums()), "test": datasets.Dataset.from_list(sums(5))}
    datasets.DatasetDict(both).save_to_disk(str(tmp_path / "saved"))
    out = tmp_path / "out"
    shown = whet("train", "--model", "tiny", "--data", tmp_path / "saved", *SMALLEST, "--out", out)
    assert shown.exit_code == 0, (shown.output, shown.exception)
    tested = json.loads((out / "evaluations" / "after" / "test.json").read_text())["problems"]
    assert tested == ["saved/test/0", "saved/test/1"]


def test_a_gymnasium_environment_is_played_and_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lake = ("--env", "gymnasium:FrozenLake-v1", "--env-arg", "render_mode=ansi", "--env-arg", "is_slippery=false")
    shown = whet("train", "--model", "tiny", *lake, "--turns", "2", *SMALLEST, "--temperature", "1.5", "--out", "out")
    assert shown.exit_code == 0, (shown.output, shown.exception)
    rows = parquet.read_table(tmp_path / "out" / "rollouts", columns=["prompt", "stop"]).to_pylist()
    assert all("[S]FFF" in row["prompt"] and row["stop"] != "error" for row in rows)
    same_again(tmp_path / "out", tmp_path)


def test_a_verifiers_environment_is_played_and_judged_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "whet_asked.py").write_text(ASKED)
    game = ("--env", "verifiers:whet_asked.py", "--env-arg", "count=9")
    soon = f"rollout.decoding.stop_tokens={list(range(30, 260))}"  # most of what a model without training says
    shown = whet("train", "--model", "tiny", *game, *SMALLEST, "--set", soon)
    assert shown.exit_code == 0, (shown.output, shown.exception)
    (out,) = (tmp_path / "runs" / "train-whet-asked").iterdir()
    rows = parquet.read_table(out / "rollouts", columns=["stop", "reward"]).to_pylist()
    assert "env" in {row["stop"] for row in rows} <= {"env", "length"}
    assert all(row["reward"] == 0.25 for row in rows if row["stop"] == "env")
    assert len(metrics(out)) == 2
    assert whet("resume", out).exit_code == 0


ASKED = """
import verifiers.v1 as vf


class Task(vf.Task[vf.TaskData, vf.State, vf.TaskConfig]):
    @vf.reward(weight=0.25)
    async def spoken(self, trace) -> float:
        return float(trace.num_turns)


class Config(vf.TasksetConfig):
    count: int = 3


class Tasks(vf.Taskset[Task, Config]):
    def load(self):
        for i in range(self.config.count):
            yield Task(vf.TaskData(prompt=f"Say {i}."), self.config.task)


__all__ = ["Tasks"]
"""


@pytest.mark.parametrize(
    ("rows", "words", "said"),
    [
        (sums(), ["--prompt", "qestion"], ["no column 'qestion'", "question, answer", "did you mean 'question'?"]),
        (sums(), ["--answer", "gold"], ["no column 'gold'; its columns are question, answer"]),
        (
            verl(),
            ["--answer", "reward_model.groundtruth"],
            ["reward_model.style", "did you mean 'reward_model.ground_truth'?"],
        ),
        ([{"a": "q", "b": "1"}], [], ["which column is it? the columns are a, b; say it with --prompt"]),
        ([*sums(3), *verl(3)], [], ["row 4 has no column 'question'", "as a file of their own"]),
        ([*verl(3), *sums(3)], [], ["row 4 has no column 'prompt'; its columns are question, answer"]),
        (
            [*verl(3), {**verl(1)[0], "reward_model": {"style": "rule"}}],
            [],
            ["row 4 has no column 'reward_model.ground_truth'"],
        ),
        ([{**verl(1)[0], "reward_model": {"ground_truth": ""}}], [], ["'reward_model.ground_truth' is empty"]),
        ([], [], ["the data set is empty"]),
        (sums(), ["--weights", "1,2"], ["--weights gives 2 numbers (1,2) for 1 --data"]),
        (sums(), ["--test", "a.jsonl", "--test", "b.jsonl"], ["--test is given 2 times for 1 --data"]),
        (sums(), ["--env", "gymnasium:FrozenLake-v1"], ["give --data or --env, one of the two"]),
        (sums(), ["--reward", "exat"], ["there is no reward 'exat'", "did you mean exact"]),
        (sums(), ["--reward", "none.py:score"], ["there is no file 'none.py'"]),
        (sums(), ["--reward", "broken.py:score"], ["broken.py:1: invalid syntax: def score(:"]),
        (sums(), ["--reward", "mine.py:goood"], ["the file has no function 'goood'; it has good"]),
        (sums(), ["--reward", "mine.py:raises"], ["reward 'correct' on problem", "KeyError: 'the door'"]),
        (sums(), ["--reward", "mine.py:short"], ["mine.py:short returned 1 values for 2 completions"]),
    ],
)
def test_what_is_wrong_with_the_data_or_the_reward_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: list[Any], words: list[str], said: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "data.jsonl", rows)
    (tmp_path / "mine.py").write_text(REWARD)
    (tmp_path / "broken.py").write_text("def score(:\n")
    refused(whet("train", "--model", "tiny", "--data", "data.jsonl", *words, *SMALLEST, "--out", "out"), *said)
    assert not (tmp_path / "out" / "model").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], ["give --data or --env"]),
        (["--data", "./none.jsonl"], ["there is no data file or folder ./none.jsonl"]),
        (["--data", "none.jsonl"], ["none.jsonl: no such file"]),
        (["--data", "nobody/no-such-data"], ["nobody/no-such-data: no such file or folder", "offline"]),
        (["--env", "gymnasium:FrozenLak-v1"], ["can not make 'FrozenLak-v1'"]),
        (["--env", "gymnasium:Pendulum-v1"], ["only Discrete ones can be said"]),
        (["--env", "atari:Pong"], ["--env is gymnasium:NAME or verifiers:NAME"]),
        (["--env", "verifiers:none.py"], ["there is no file none.py"]),
        (["--env", "verifiers:broken.py"], ["broken.py can not be played", "no such world"]),
        (["--env", "gymnasium:FrozenLake-v1", "--reward", "exact"], ["of an --env are its own"]),
    ],
)
def test_what_can_not_be_had_is_said_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    text = ASKED.replace("return float(trace.num_turns)", 'raise OSError("no such world")')
    (tmp_path / "broken.py").write_text(text)
    refused(whet("train", "--model", "tiny", *words, *SMALLEST, "--out", "out"), *said)
    assert not (tmp_path / "out").exists()


def refused(shown: Any, *said: str) -> None:
    assert shown.exit_code == 2, (shown.output, shown.exception)
    for words in said:
        assert words in shown.stderr, (words, shown.stderr)


def test_the_help_shows_an_example_of_everything_that_is_read() -> None:
    lines = [line.strip() for line in whet("train", "--help").output.splitlines()]
    examples = [shlex.split(line) for line in lines if line.startswith("whet train ")]
    assert all("--model" in words and ("--data" in words or "--env" in words) for words in examples)
    said = {word for words in examples for word in words}
    assert {"--weights", "--plain", "my_reward.py:score", "openai/gsm8k:main", "verifiers:my_env.py"} <= said
    assert {"train.jsonl", "train.parquet", "./my-data-set", "gymnasium:FrozenLake-v1"} <= said
