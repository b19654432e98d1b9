"""What goes wrong in the middle of a run: each a clear error, and nothing is lost.

What is wrong from the start is in `test_cli.py` and beside the parts that check it; a full disk in `test_resume.py`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.runs import SMALL, go, metrics, sums
from typer.testing import CliRunner

from whet.cli import app
from whet.models.lm import load, save
from whet.objectives.clip import Clip
from whet.rollouts.sample import Sample
from whet.scoring import Weighted
from whet.stages.learning import Train
from whet.stages.rl import RL
from whet.types import Decoding

RECIPE = '''
"""Eight steps; what stands in the file `mood` decides how they go."""

from pathlib import Path

import torch

from whet.models.tiny import TinyQwen
from whet.objectives.clip import Clip
from whet.recipe import Recipe
from whet.rewards.user import UserReward
from whet.rollouts.sample import Sample
from whet.run import Save
from whet.scoring import Weighted
from whet.stages.learning import Train
from whet.stages.rl import RL
from whet.types import Decoding, Problem

mood = Path("MOOD")
seen = []


class Growing:
    """An endless task whose prompts grow, where the mood is so."""

    def size(self, split):
        return None

    def problem(self, split, i):
        seen.append(i)
        mood.with_name("seen").write_text(str(len(seen)))
        long = 90 if mood.read_text() == "long" and len(seen) > 9 else 1
        return Problem(f"grown/{i}", "1+" * long + "1=", "2")


def count(group):
    """A reward of the recipe's own."""
    if mood.read_text() == "raise" and len(seen) > 9:
        raise KeyError("no such thing")
    if mood.read_text() == "inf" and len(seen) > 9:
        return torch.tensor([0.0, float("inf")])
    return torch.tensor([float(sum(map(ord, t.turns[-1].text)) % 2) for t in group.trajectories])


stage = RL(
    task=Growing(),
    rollout=Sample(group=2, decoding=Decoding(max_tokens=3)),
    reward=Weighted({"count": count, "own": UserReward("REWARD:score", deadline=1.0)}),
    train={"policy": Train(Clip(), lr=1e-2)},
    problems=2,
    steps=8,
    save=Save(every=2),
)
recipe = Recipe(model=TinyQwen(width=16, layers=1, heads=2, context=48), arms={"a": [stage]})
'''

REWARD = """
from pathlib import Path
import time

mood = Path("MOOD")


def score(prompts, completions, **columns):
    now = mood.read_text() if int(mood.with_name("seen").read_text()) > 9 else "well"
    if now == "hang":
        time.sleep(60)
    return ["good" if now == "text" else float(len(c) % 2) for c in completions]
"""


def whet(*words: str | Path) -> Any:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe of one's own with its files, and the run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("own")
    for name, text in (("own.py", RECIPE), ("reward.py", REWARD)):
        text = text.replace("MOOD", str(folder / "mood")).replace("REWARD", str(folder / "reward.py"))
        (folder / name).write_text(text)
    (folder / "mood").write_text("well")
    shown = whet("run", folder / "own.py", "--no-doctor", "--out", folder / "plain")
    assert shown.exit_code == 0, (shown.output, shown.exception)
    return folder


def told(out: Path) -> list[dict[str, Any]]:
    return [{k: v for k, v in line.items() if not k.startswith("time/")} for line in metrics(out)]


@pytest.mark.parametrize(
    ("mood", "said"),
    [
        ("raise", ["reward 'count' on problem 'grown/", "KeyError: 'no such thing'"]),
        ("inf", ["reward 'count' on problem 'grown/", "inf", "a reward must be finite"]),
        ("hang", ["reward 'own' on problem 'grown/", "reward.py:score did not return within 1 s"]),
        ("text", ["reward 'own' on problem 'grown/", "reward.py:score", "'good'"]),
        ("long", ["the prompt of problem 'grown/", "the context holds 48"]),
    ],
)
def test_what_breaks_in_mid_run_is_named_and_once_mended_the_run_goes_on(
    place: Path, tmp_path: Path, mood: str, said: list[str]
) -> None:
    out = tmp_path / "out"
    (place / "mood").write_text(mood)
    shown = whet("run", place / "own.py", "--no-doctor", "--out", out)
    assert shown.exit_code == 2, (shown.output, shown.exception)
    assert "Traceback" not in shown.stderr
    for words in [*said, f"go on with: whet resume {out}"]:
        assert words in shown.stderr, (words, shown.stderr)
    done = len(metrics(out))
    assert 1 <= done < 8
    assert not (out / "model").exists()
    (place / "mood").write_text("well")
    shown = whet("resume", out)
    assert shown.exit_code == 0, (shown.output, shown.exception)
    assert told(out) == told(place / "plain")
    ours, plain = (load(folder / "model").state_dict() for folder in (out, place / "plain"))
    assert all(torch.equal(ours[name], plain[name]) for name in plain)


def test_a_recipe_that_changed_is_not_resumed(place: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert whet("run", place / "own.py", "--no-doctor", "--set", "steps=2", "--out", out).exit_code == 0
    copy = out / "recipe.py"
    copy.write_text(copy.read_text().replace("lr=1e-2", "lr=1e-3"))
    shown = whet("resume", out)
    assert shown.exit_code == 2 and "no longer the one this run was started with" in shown.stderr
    assert len(metrics(out)) == 2


def test_a_run_that_is_done_can_be_resumed_without_harm(place: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert whet("run", place / "own.py", "--no-doctor", "--set", "steps=2", "--out", out).exit_code == 0
    before = (out / "metrics.jsonl").read_text(), (out / "model" / "model.safetensors").read_bytes()
    assert whet("resume", out).exit_code == 0
    assert ((out / "metrics.jsonl").read_text(), (out / "model" / "model.safetensors").read_bytes()) == before


def test_a_broken_order_names_its_file(place: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert whet("run", place / "own.py", "--no-doctor", "--set", "steps=1", "--out", out).exit_code == 0
    (out / "recipe.json").write_text('{"order": ')
    shown = whet("resume", out)
    assert shown.exit_code == 2 and f"{out / 'recipe.json'} should hold JSON" in shown.stderr


def test_a_folder_that_can_not_be_written_is_an_error_before_any_work(place: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        shown = whet("run", place / "own.py", "--no-doctor", "--out", out)
        assert shown.exit_code == 2 and "file" in shown.stderr and "Traceback" not in shown.stderr
    assert (tmp_path / "file").read_text() == "mine"


def test_failed_checks_leave_no_folder(place: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    shown = whet("run", place / "own.py", "--set", "rollout.model=polcy", "--out", out)
    assert shown.exit_code == 2 and "names the model 'polcy'" in shown.stderr
    assert not out.exists()


def test_a_model_whose_weights_are_torn_is_refused(tmp_path: Path) -> None:
    folder = save(SMALL.build(0), tmp_path / "model")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    data = tmp_path / "data.jsonl"
    data.write_text("".join(json.dumps({"question": f"{i}+1=", "answer": str(i + 1)}) + "\n" for i in range(9)))
    words = ("--model", folder, "--data", data, "--out", tmp_path / "out")
    shown = whet("train", *words)
    assert shown.exit_code == 2, (shown.output, shown.exception)
    assert str(folder) in shown.stderr and "Traceback" not in shown.stderr
    assert not (tmp_path / "out").exists()


def test_a_torn_last_line_of_the_log_does_not_hinder_a_resume(place: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (place / "mood").write_text("raise")
    assert whet("run", place / "own.py", "--no-doctor", "--out", out).exit_code == 2
    (place / "mood").write_text("well")
    with (out / "metrics.jsonl").open("a") as file:
        file.write('{"stage": "rl", "num')
    assert whet("resume", out).exit_code == 0
    assert told(out) == told(place / "plain")


def test_rewards_of_the_wrong_number_name_the_problem(tmp_path: Path) -> None:
    attempts = Sample(group=3, decoding=Decoding(max_tokens=2))
    cases: list[tuple[Any, str]] = [([1.0], "1 values for 3 attempts"), ("abc", "gave str"), ([None] * 3, "gave None")]
    for value, said in cases:
        reward = Weighted({"mine": lambda group, value=value: value})
        stage = RL(sums(5), attempts, reward, {"policy": Train(Clip())}, problems=2, steps=1)
        with pytest.raises(ValueError, match=rf"reward 'mine' on problem 'p\d'.*{said}"):
            go(tmp_path / said, stage)
