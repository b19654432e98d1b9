"""A run that was killed and resumed is the run that was not: to the bit, at any moment, on-policy or ahead."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest
from helpers import commands

RECIPE = '''
"""Everything that could be lost: parts that learn, a model that follows, validation, several updates a step."""

from dataclasses import dataclass, field

import torch

from whet.advantages.group_mean import GroupMean
from whet.callbacks.validate import Validate
from whet.curricula.uniform import Uniform
from whet.models.derived import Follow
from whet.models.tiny import TinyQwen
from whet.objectives.clip import Clip
from whet.objectives.with_kl import WithKL
from whet.recipe import Made, Recipe
from whet.rewards.verified import exact
from whet.rollouts.sample import Sample
from whet.run import Save
from whet.schedule import Linear
from whet.scoring import Weighted, totals
from whet.stages.evaluate import Evaluate
from whet.stages.learning import Train
from whet.stages.rl import RL
from whet.stages.sft import SFT
from whet.tasks.chain_sum import ChainSum
from whet.tracks.reference import Logprobs
from whet.types import Decoding


def even(group):
    """A reward that an untrained model gets often enough to learn something."""
    return torch.tensor([sum(ord(c) for t in a.turns[1:] for c in t.text) % 2 for a in group.trajectories]).float()


@dataclass(frozen=True)
class Learner:
    """A curriculum that learns: draws go through a window that moves on as rewards rise."""

    state: dict = field(default_factory=lambda: {"place": 0, "means": torch.zeros(4)}, compare=False, repr=False)

    def draw(self, task, count, seed):
        first = 1000 * self.state["place"] + int(1000 * float(self.state["means"].sum()))
        return [task.problem("train", first + i + seed % 7) for i in range(count)]

    def observe(self, step, scored_P, metrics):
        mean = torch.stack([totals(s).mean() for s in scored_P]).mean()
        self.state["means"] = torch.cat([self.state["means"][1:], mean[None]])
        self.state["place"] += int(mean > 0.4)


@dataclass(frozen=True)
class RunningMean:
    """Rewards less a baseline that follows them."""

    inner: GroupMean = GroupMean(std="none")
    state: dict = field(default_factory=lambda: {"baseline": 0.0}, compare=False, repr=False)

    def __call__(self, scored_P):
        credit = self.inner(scored_P)
        moved = [[a - 0.1 * self.state["baseline"] for a in group] for group in credit.advantages]
        return type(credit)(moved)

    def observe(self, step, scored_P, metrics):
        mean = float(torch.cat([totals(s) for s in scored_P]).mean())
        self.state["baseline"] = 0.9 * self.state["baseline"] + 0.1 * mean


task = ChainSum(terms=2)
attempts = Sample(group=3, decoding=Decoding(max_tokens=6))
reward = Weighted({"even": even, "correct": exact})
test = Evaluate(task=task, rollout=attempts, reward=reward, problems=3, correct="even")
tiny = TinyQwen(width=32, layers=2, context=64)
stage = RL(
    task=task,
    rollout=attempts,
    reward=reward,
    train={"policy": Train(WithKL(Clip()), lr=Linear(5e-3, 1e-3, 8), epochs=2, minibatches=2, weight_decay=0.01)},
    advantage=RunningMean(),
    curriculum=Learner(),
    tracks=[Logprobs()],
    models={"reference": Follow("policy", tau=0.8)},
    callbacks=[Validate(Evaluate(task=task, rollout=attempts, reward=reward, split="validation", problems=3,
                                 correct="even"), every=3)],
    problems=4,
    steps=8,
    save=Save(every=2, keep=1),
)
recipe = Recipe(
    model=Made(tiny, [SFT(task=task, steps=3, problems=4)]),
    arms={"a": [stage]},
    evaluate=[test],
)
'''


class Plain:
    """The run that nobody disturbs, and what it left."""

    def __init__(self, folder: Path, ahead: int) -> None:
        self.folder, self.ahead = folder, ahead
        self.recipe = folder / "tiny.py"
        self.recipe.write_text(RECIPE)
        self.log = folder / "log"
        self.out = folder / "plain"
        count = folder / "count"
        begun = time.monotonic()
        assert self.run(self.out, "plain", env={"WHET_COUNT": str(count)}) == 0, self.log.read_text()
        self.seconds = time.monotonic() - begun
        self.calls = int(count.read_text())
        self.left = left(self.out)

    def words(self, out: Path) -> list[str | Path]:
        return ["run", self.recipe, "--no-doctor", "--set", f"ahead={self.ahead}", "--out", out]

    def env(self, name: str) -> dict[str, str]:
        """A cache of its own for every run, so that each makes its model itself."""
        return {"WHET_CACHE": str(self.folder / f"cache-{name}")}

    def run(self, out: Path, name: str, env: dict[str, str] | None = None, die: int = 0) -> int:
        return commands.finish(*self.words(out), log=self.log, env=self.env(name) | (env or {}), die=die)

    def resume(self, out: Path, name: str, die: int = 0, largest: int = 0) -> int:
        return commands.finish("resume", out, log=self.log, env=self.env(name), die=die, largest=largest)

    def same(self, out: Path, name: str) -> None:
        """Go on with a run to its end, and compare all that is left of it."""
        if (out / "recipe.json").exists():
            assert self.resume(out, name) == 0, self.log.read_text()
        else:  # killed before there was anything to go on with
            assert not (out / "metrics.jsonl").exists()
            shutil.rmtree(out, ignore_errors=True)
            assert self.run(out, name) == 0, self.log.read_text()
        now = left(out)
        assert now.keys() == self.left.keys()
        for what in now:
            assert now[what] == self.left[what], what
        shutil.rmtree(out)


def _untimed(table: Any) -> Any:
    return table.drop_columns([name for name in table.column_names if name.startswith("seconds/")])


def left(out: Path) -> dict[str, Any]:
    """All that must not depend on whether a run was stopped."""
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    found: dict[str, Any] = {
        "metrics": [{k: v for k, v in line.items() if not k.startswith("time/")} for line in lines],
        "weights": (out / "model" / "model.safetensors").read_bytes(),
        "best": (out / "best" / "model.safetensors").read_bytes(),
        "env": sorted(json.loads((out / "env.json").read_text())),
        "half-made": [str(p) for p in out.rglob(".*")],
        "checkpoints": sorted(p.name for p in (out / "checkpoints").iterdir()),
        **{f.name: _untimed(parquet.read_table(f)).to_pylist() for f in sorted((out / "rollouts").iterdir())},
    }
    for file in ("evaluations/before/test.json", "evaluations/after/test.json", "report.json"):
        found[file] = {k: v for k, v in json.loads((out / file).read_text()).items() if k != "recipe"}
    return found


@pytest.fixture(scope="module", params=[0, 2], ids=["on-policy", "ahead by 2"])
def plain(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Plain:
    return Plain(tmp_path_factory.mktemp(f"ahead{request.param}"), request.param)


def test_the_run_learns_and_what_learns_matters(plain: Plain) -> None:
    """What is compared below would differ if a part forgot something."""
    lines = plain.left["metrics"]
    assert [line["step"] for line in lines] == list(range(8))
    assert all(line["updates"] == 4 for line in lines)
    assert any(line["grad_norm"] > 0 for line in lines)
    assert [line["step"] for line in lines if "validation/pass@1" in line] == [2, 5]
    drawn = [row["problem"] for step in range(8) for row in plain.left[f"1-{step:08d}.parquet"][::3]]
    assert len(set(drawn)) > 12
    versions = [{v for row in plain.left[f"1-{s:08d}.parquet"] for v in row["versions"]} - {-1} for s in range(8)]
    assert versions == [{max(0, step - plain.ahead)} for step in range(8)]


def test_the_same_order_gives_the_same_bits(plain: Plain) -> None:
    out = plain.folder / "again"
    assert plain.run(out, "again") == 0
    plain.same(out, "again")


@pytest.mark.parametrize("number", range(2))
def test_killed_at_any_time_and_resumed(plain: Plain, number: int) -> None:
    random_ = random.Random(f"{plain.ahead} {number}")
    out = plain.folder / "out"
    process = commands.start(*plain.words(out), log=plain.log, env=plain.env(f"time{number}"))
    process.join(random_.uniform(0.1, plain.seconds))
    process.kill()
    process.join()
    plain.same(out, f"time{number}")


@pytest.mark.parametrize("number", range(4))
def test_killed_in_front_of_any_write_and_resumed(plain: Plain, number: int) -> None:
    random_ = random.Random(f"{plain.ahead} {number}")
    part = plain.calls / 4
    out = plain.folder / "out"
    die = 1 + int(part * number + random_.random() * part)
    assert plain.run(out, f"write{number}", die=die) == -signal.SIGKILL
    plain.same(out, f"write{number}")


def test_killed_again_and_again_until_it_is_done(plain: Plain) -> None:
    out = plain.folder / "out"
    code, again = plain.run(out, "again and again", die=plain.calls // 3), 0
    while code:
        assert code == -signal.SIGKILL and again < 20, plain.log.read_text()
        again += 1
        code = plain.resume(out, "again and again", die=plain.calls // 3 + 1)
    assert again >= 2
    plain.same(out, "again and again")


def test_ctrl_c_finishes_the_step_saves_and_resumes(plain: Plain) -> None:
    out = plain.folder / "out"
    process = commands.start(*plain.words(out), log=plain.log, env=plain.env("ctrl"))
    end = time.monotonic() + 60
    while not (out / "rollouts" / "1-00000002.parquet").exists() and time.monotonic() < end:
        time.sleep(0.005)
    assert process.pid
    os.kill(process.pid, signal.SIGINT)
    process.join(60)
    assert process.exitcode == 130, plain.log.read_text()
    steps = [json.loads(line)["step"] for line in (out / "metrics.jsonl").read_text().splitlines()]
    newest = max(int(p.name.split("-")[1]) for p in (out / "checkpoints").glob("1-*"))
    assert steps == list(range(newest)) and 3 <= newest < 8
    plain.same(out, "ctrl")


def test_ctrl_c_while_the_model_is_made_resumes_too(plain: Plain) -> None:
    out = plain.folder / "out"
    process = commands.start(*plain.words(out), log=plain.log, env=plain.env("early"))
    end = time.monotonic() + 60
    while not (out / "recipe.json").exists() and time.monotonic() < end:
        time.sleep(0.002)
    assert process.pid
    os.kill(process.pid, signal.SIGINT)
    process.join(60)
    assert process.exitcode == 130, plain.log.read_text()
    assert not (out / "rollouts").exists()
    plain.same(out, "early")


def test_a_full_disk_is_told_and_loses_nothing(plain: Plain) -> None:
    out = plain.folder / "out"
    assert plain.run(out, "full", die=plain.calls // 2) == -signal.SIGKILL
    size = max(f.stat().st_size for f in (out / "checkpoints").rglob("*.pt"))
    for largest, missed in (
        (500, "metrics.jsonl"),
        (size - 1000, "checkpoints"),
        (size // 2, "best|model|checkpoints"),
    ):
        plain.log.write_text("")
        assert plain.resume(out, "full", largest=largest) == 2
        said = plain.log.read_text()
        assert re.search(f"could not write {out}/({missed})[^ ]*: File too large; free some space", said), said
        assert "Traceback" not in said
    plain.same(out, "full")
