"""Mirrors of a run's log, with the trackers' own readers."""

from __future__ import annotations

import importlib.util
import json
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers import commands
from typer.testing import CliRunner

from whet.cli import app
from whet.files import append_json, read_json, write_json
from whet.run import Silent
from whet.trackers.mirror import Log, Mirrored, named, names, results, scalars

RECIPE = '''
"""A recipe of six steps with a warm start that has a log of its own."""

from whet.models.tiny import TinyQwen
from whet.objectives.clip import Clip
from whet.recipe import Made, Recipe
from whet.rewards.verified import exact
from whet.rollouts.sample import Sample
from whet.run import Save
from whet.scoring import Weighted
from whet.stages.evaluate import Evaluate
from whet.stages.learning import Train
from whet.stages.rl import RL
from whet.stages.sft import SFT
from whet.tasks.chain_sum import ChainSum
from whet.types import Decoding

task = ChainSum(terms=2)
attempts = Sample(group=2, decoding=Decoding(max_tokens=3))
reward = Weighted({"correct": exact})
rl = RL(task=task, rollout=attempts, reward=reward, train={"policy": Train(Clip())}, problems=2, steps=4, save=Save(2))
recipe = Recipe(
    model=Made(TinyQwen(width=16, layers=1, heads=2, context=48), [SFT(task, steps=3, problems=2)]),
    arms={"a": [SFT(task, steps=2, problems=2), rl]},
    evaluate=[Evaluate(task=task, rollout=attempts, reward=reward, problems=2)],
)
'''
STEPS = 6
ORDER = {"order": {"recipe": "mini"}, "seed": 0}


def installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


needs_tensorboard = pytest.mark.skipif(not installed("tensorboard"), reason="TensorBoard is not installed")
needs_wandb = pytest.mark.skipif(not installed("wandb"), reason="W&B is not installed")
needs_trackio = pytest.mark.skipif(not installed("trackio"), reason="trackio is not installed")


class Screen(Silent):
    def __init__(self) -> None:
        self.said: list[str] = []

    def warn(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "mini.py"
    path.write_text(RECIPE)
    return path


def lines(count: int, first: int = 0) -> list[dict[str, Any]]:
    return [
        {"stage": "rl", "number": 1, "step": i, "loss": i / 10, "reward/mean": None if i == 1 else float(i)}
        for i in range(first, count)
    ]


def stored(folder: Path, count: int) -> Path:
    """A run folder with a log of `count` steps."""
    write_json(folder / "recipe.json", ORDER)
    for line in lines(count):
        append_json(folder / "metrics.jsonl", line)
    return folder


def events(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0})
    read.Reload()
    return {tag: [(e.step, e.value) for e in read.Scalars(tag)] for tag in read.Tags()["scalars"]}


# ------------------------------------------------------------------------------------------------------ the log


def test_each_line_is_handed_out_once(tmp_path: Path) -> None:
    log = Log(stored(tmp_path, 3) / "metrics.jsonl")
    assert [n for n, _ in log.new()] == [0, 1, 2]
    assert list(log.new()) == []
    append_json(tmp_path / "metrics.jsonl", lines(4)[3])
    assert [(n, line["loss"]) for n, line in log.new()] == [(3, 0.3)]


def test_a_log_that_was_cut_back_gives_only_what_is_new(tmp_path: Path) -> None:
    log = Log(stored(tmp_path, 4) / "metrics.jsonl")
    list(log.new())
    (tmp_path / "metrics.jsonl").unlink()
    stored(tmp_path, 3)  # cut back to a checkpoint, and one step was played again
    assert list(log.new()) == []
    for line in lines(6, 3):
        append_json(tmp_path / "metrics.jsonl", line)
    assert [n for n, _ in log.new()] == [4, 5]


def test_a_half_written_line_waits_for_its_end(tmp_path: Path) -> None:
    log = Log(stored(tmp_path, 1) / "metrics.jsonl")
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"stage": "rl", ')
        file.flush()
        assert [n for n, _ in log.new()] == [0]
        file.write('"loss": 1.0}\n')
    assert [line["loss"] for _, line in log.new()] == [1.0]


def test_only_finite_numbers_are_mirrored() -> None:
    line = {
        "stage": "rl",
        "number": 2,
        "step": 4,
        "loss": 0.5,
        "kl": None,
        "word": "x",
        "flag": True,
        "nan": float("nan"),
    }
    assert scalars(line) == {"rl/loss": 0.5}


def test_results_carry_their_side(tmp_path: Path) -> None:
    assert results(tmp_path) == {}
    write_json(tmp_path / "report.json", {"before": {"pass@1": {"value": 0.25}}, "after": {"pass@1": {"value": None}}})
    assert results(tmp_path) == {"results/before/pass@1": 0.25}


# --------------------------------------------------------------------------------------------------------- names


def test_every_file_is_a_tracker() -> None:
    assert names() == ["tensorboard", "trackio", "wandb"]


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("tensorbord", "did you mean tensorboard"),
        ("mlflow", "there are"),
        ("wandb:cloud", "wandb:online"),
        ("trackio:x", "mode"),
    ],
)
def test_an_unknown_tracker_is_refused(word: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        named(word)


@pytest.mark.parametrize("name", names())
def test_a_missing_package_names_its_extra(name: str) -> None:
    if installed(name):
        pytest.skip(f"{name} is installed")
    with pytest.raises(ImportError, match=rf"pip install 'whet\[{name}\]'"):
        named(name)


def test_a_wrong_tracker_is_refused_before_any_work(recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    result = CliRunner().invoke(app, ["run", str(recipe), "--out", str(out), "--track", "tensorbord"])
    assert result.exit_code == 2
    assert "did you mean tensorboard" in result.stderr
    assert not out.exists()


# --------------------------------------------------------------------------------------------------- TensorBoard


@needs_tensorboard
def test_a_run_that_was_killed_and_resumed_shows_every_step_once(recipe: Path, tmp_path: Path) -> None:
    log, whole, killed = tmp_path / "log", tmp_path / "whole", tmp_path / "killed"
    env = {"WHET_CACHE": str(tmp_path / "cache"), "WHET_COUNT": str(tmp_path / "count")}
    words = ["run", recipe, "--no-doctor", "--track", "tensorboard", "--out"]
    assert commands.finish(*words, whole, log=log, env=env) == 0, log.read_text()
    count = int((tmp_path / "count").read_text())
    # At two thirds of what it writes it is among its steps.
    env["WHET_CACHE"] = str(tmp_path / "another")  # so that it writes just as much before
    assert commands.finish(*words, killed, log=log, env=env, die=count * 2 // 3) == -9
    assert 2 < len((killed / "metrics.jsonl").read_text().splitlines()) < STEPS
    assert commands.finish("resume", killed, "--track", "tensorboard", log=log, env=env) == 0, log.read_text()
    for folder in (whole, killed):
        shown = events(folder)
        told = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        assert [line["stage"] for line in told] == ["sft"] * 2 + ["rl"] * 4
        assert [step for step, _ in shown["sft/loss"]] == [0, 1]
        assert [step for step, _ in shown["rl/reward/mean"]] == [2, 3, 4, 5]
        assert [value for _, value in shown["rl/loss"]] == pytest.approx([line["loss"] for line in told[2:]])
        report = read_json(folder / "report.json")
        assert shown["results/after/pass@1"] == [(5, pytest.approx(report["after"]["pass@1"]["value"]))]
    assert events(whole)["rl/reward/mean"] == events(killed)["rl/reward/mean"]


@needs_tensorboard
def test_a_run_is_shown_after_the_fact(tmp_path: Path) -> None:
    folder = stored(tmp_path / "run", 3)
    for _ in range(2):  # again changes nothing
        result = CliRunner().invoke(app, ["track", str(folder), "--to", "tensorboard"])
        assert result.exit_code == 0, result.output
        shown = events(folder)
        assert shown["rl/loss"] == [(i, pytest.approx(i / 10)) for i in range(3)]
        assert shown["rl/reward/mean"] == [(0, 0.0), (2, 2.0)]  # there was none in the second step
    assert len(list((folder / "tensorboard").iterdir())) == 1


@needs_tensorboard
def test_a_tracker_that_fails_warns_once_and_the_others_go_on(tmp_path: Path) -> None:
    folder = stored(tmp_path / "run", 1)
    screen = Screen()
    (folder / "tensorboard").write_text("a file where the folder should be")
    mirror = Mirrored(screen, folder, ["tensorboard"])
    mirror.advance(1, {})
    append_json(folder / "metrics.jsonl", lines(2)[1])
    mirror.advance(2, {})
    mirror.finish()
    assert len(screen.said) == 1
    assert "tensorboard failed" in screen.said[0] and "the run goes on" in screen.said[0]


def test_a_folder_without_a_log_is_refused(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["track", str(tmp_path), "--to", "tensorboard"])
    assert result.exit_code == 2
    assert "metrics.jsonl" in result.stderr


# ----------------------------------------------------------------------------------------------- W&B and trackio


def records(file: Path) -> Iterator[bytes]:
    """The records of a `.wandb` file, which is a LevelDB log behind seven bytes: blocks of 32 KiB, in them pieces of a
    record: checksum [4], length [2], kind [1] (1 whole, 2 first, 3 middle, 4 last)."""
    data, place, record = file.read_bytes(), 7, b""
    while place + 7 <= len(data):
        if 32768 - place % 32768 < 7:
            place += 32768 - place % 32768
            continue
        length, kind = struct.unpack("<HB", data[place + 4 : place + 7])
        record += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):
            yield record
            record = b""


def wandb_steps(folder: Path) -> list[tuple[int, float]]:
    """(step, loss) of what an offline run holds."""
    from wandb.proto import wandb_internal_pb2  # pyright: ignore[reportMissingImports]

    (file,) = folder.glob("wandb/offline-run-*/*.wandb")
    found = []
    for data in records(file):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        if record.WhichOneof("record_type") == "history":
            line = {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in record.history.item}
            found.append((line["_step"], line["rl/loss"]))
    return found


@needs_wandb
def test_wandb_keeps_an_offline_run_in_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")  # nothing leaves the machine unless --track says so
    folder = stored(tmp_path / "run", 2)
    screen = Screen()
    for count in (2, 4):  # it goes on with two more steps
        for line in lines(count, count - 2) if count > 2 else []:
            append_json(folder / "metrics.jsonl", line)
        mirror = Mirrored(screen, folder, ["wandb"])
        mirror.follow()
        mirror.finish()
        assert screen.said == []
        assert wandb_steps(folder) == [(i, i / 10) for i in range(count)]
    assert len(read_json(folder / "wandb.json")["id"]) == 16


@needs_wandb
def test_wandb_without_a_network_does_not_stop_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{closed.getsockname()[1]}")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setattr("whet.trackers.wandb._WAIT", 3.0)
    screen = Screen()
    mirror = Mirrored(screen, stored(tmp_path / "run", 2), ["wandb:online"])
    mirror.follow()
    mirror.finish()
    assert len(screen.said) == 1
    assert "wandb:online failed" in screen.said[0]


@needs_trackio
def test_trackio_shows_every_step_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trackio.sqlite_storage.TRACKIO_DIR", tmp_path / "db")
    from trackio.sqlite_storage import SQLiteStorage  # pyright: ignore[reportMissingImports]

    folder = stored(tmp_path / "run", 2)
    screen = Screen()
    for count in (2, 4):
        for line in lines(count, count - 2) if count > 2 else []:
            append_json(folder / "metrics.jsonl", line)
        mirror = Mirrored(screen, folder, ["trackio"])
        mirror.follow()
        mirror.finish()
    place = read_json(folder / "trackio.json")
    logs = SQLiteStorage.get_logs(place["project"], place["name"])
    assert screen.said == []
    assert [(log["step"], log["rl/loss"]) for log in logs] == [(i, i / 10) for i in range(4)]


@needs_trackio
@pytest.mark.parametrize("name", ["TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL"])
def test_trackio_sends_nothing_away(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "http://example.com")
    with pytest.raises(ValueError, match=name):
        named("trackio")
