"""Arms over seeds, judged and written down: a whole small reproduction through the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from whet.bounds import Above
from whet.catalogue import page, read_all, rows
from whet.claims import All, Better, verdict
from whet.launch import Order, find, slugs
from whet.metrics.intervals import Estimate
from whet.metrics.measures import Before, Final, Rise
from whet.report import cell, is_share
from whet.reproduce import SEEDS, Job, jobs, judged, measured, stale, waiting, within
from whet.stamps import stamp

ROOT = Path(__file__).resolve().parents[1]

PAPER = '''
"""Twice the learning rate against once. And more."""

from dataclasses import replace

from whet.claims import Better
from whet.metrics.measures import auc_reward
from whet.models.tiny import TinyQwen
from whet.objectives.clip import Clip
from whet.recipe import Made, Paper, Recipe
from whet.rewards.verified import exact
from whet.rollouts.sample import Sample
from whet.scoring import Weighted
from whet.stages.evaluate import Evaluate
from whet.stages.learning import Train
from whet.stages.rl import RL
from whet.stages.sft import SFT
from whet.tasks.chain_sum import ChainSum
from whet.types import Decoding

task = ChainSum(terms=2, largest=9, operators="+")
attempts = Sample(group=2, decoding=Decoding(max_tokens=8))
correct = Weighted({"correct": exact})
once = RL(task, attempts, correct, {"policy": Train(Clip(), lr=1e-4)}, problems=2, steps=STEPS)
twice = replace(once, train={"policy": Train(Clip(), lr=2e-4)})
recipe = Recipe(
    model=Made(TinyQwen(width=16, layers=1, heads=2), [SFT(task, steps=2, problems=4)]),
    arms={"once": [once], "twice": [twice], "other": [once]},
    evaluate=[Evaluate(task, attempts, correct, problems=4)],
    paper=Paper("999", "A paper", "Twice beats once."),
    claim=Better("twice", than="once", metric=auc_reward),
    seeds=1,
)
'''


def whet(*words: object, where: Path, **more: object) -> subprocess.Popen[str]:
    line = [sys.executable, "-c", "from whet.cli import main; main()", *map(str, words)]
    env = {**os.environ, "WHET_CACHE": str(where / "cache")}
    pipe = subprocess.PIPE
    return subprocess.Popen(line, cwd=where, env=env, stdout=pipe, stderr=pipe, text=True, **more)  # type: ignore


@pytest.mark.timeout(600)
def test_a_paper_of_ones_own_is_reproduced_and_reported(tmp_path: Path) -> None:
    (tmp_path / "my_paper.py").write_text(PAPER.replace("STEPS", "2"))
    ran = whet("reproduce", "my_paper.py", "--seeds", 2, where=tmp_path)
    out, err = ran.communicate(timeout=240)
    assert ran.returncode == 0, err
    held = json.loads((tmp_path / "results" / "my_paper.json").read_text())
    assert held["summary"] == "Twice the learning rate against once. And more."
    assert held["paper"] == {"id": "999", "name": "A paper", "claim": "Twice beats once."}
    (run,) = held["runs"]
    assert run["verdict"] in ("reproduced", "not reproduced", "inconclusive") and run["verdict"] in out
    assert run["arms"]["twice"]["seeds"] == [0, 1] and run["arms"]["other"]["seeds"] == [0]
    assert np.shape(run["values"]["twice"]["reward/mean over training"]) == (2, 1)
    assert run["command"] == "whet reproduce my_paper.py --seeds 2"
    # the same command finds its runs again, and adds a line to the history
    again = whet("reproduce", "my_paper.py", "--seeds", 2, where=tmp_path)
    assert again.wait(200) == 0
    runs = json.loads((tmp_path / "results" / "my_paper.json").read_text())["runs"]
    assert len(runs) == 2 and runs[0]["findings"] == runs[1]["findings"]
    told = whet("report", "results", "--docs", "page.md", where=tmp_path)
    out, err = told.communicate(timeout=100)
    assert told.returncode == 0 and "my_paper" in out, err
    written = (tmp_path / "page.md").read_text()
    assert "Twice beats once." in written and f"**{run['verdict']}**" in written


def test_a_quick_look_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "my_paper.py").write_text(PAPER.replace("STEPS", "2"))
    ran = whet("reproduce", "my_paper.py", "--quick", where=tmp_path)
    out, err = ran.communicate(timeout=240)
    assert ran.returncode == 0, err
    assert "once" in out and "twice" in out and "other" not in out and "verdict" not in out
    assert not (tmp_path / "results").exists()


@pytest.mark.timeout(600)
def test_a_stopped_reproduction_goes_on(tmp_path: Path) -> None:
    (tmp_path / "my_paper.py").write_text(PAPER.replace("STEPS", "400"))
    ran = whet("reproduce", "my_paper.py", "--quick", where=tmp_path, start_new_session=True)
    begun = lambda: list(tmp_path.glob("runs/reproduce/*/*/metrics.jsonl"))  # noqa: E731
    until = time.monotonic() + 120
    while not begun() and time.monotonic() < until:
        time.sleep(0.2)
    os.killpg(ran.pid, signal.SIGINT)
    _, err = ran.communicate(timeout=120)
    assert ran.returncode == 130 and "the same command goes on" in err, err
    before = {file: len(file.read_text().splitlines()) for file in begun()}
    assert before and all(0 < count < 400 for count in before.values())
    (tmp_path / "my_paper.py").write_text(PAPER.replace("STEPS", "400"))
    again = whet("reproduce", "my_paper.py", "--quick", where=tmp_path)
    _, err = again.communicate(timeout=240)
    assert again.returncode == 0, err
    for file in before:
        assert [json.loads(line)["step"] for line in file.read_text().splitlines()] == list(range(400))


def test_an_arm_that_fails_is_named(tmp_path: Path) -> None:
    broken = (
        PAPER.replace("STEPS", "2").replace('reward=correct, {"policy"', "").replace("max_tokens=8", "max_tokens=8")
    )
    broken = broken.replace(
        "twice = replace(once,",
        "def bad(group):\n    return [0.0]\n\n\ntwice = replace(once, reward=Weighted({'correct': bad}),",
    )
    (tmp_path / "my_paper.py").write_text(broken)
    ran = whet("reproduce", "my_paper.py", "--quick", where=tmp_path)
    _, err = ran.communicate(timeout=240)
    assert ran.returncode == 2
    assert "twice, seed 1000" in err and "1 values for 2 attempts" in err


def test_judged_arms_get_eight_seeds_and_others_three() -> None:
    recipe = find(Order("gppo"))
    seeds = {arm: [j.seed for j in jobs(recipe, Path("x")) if j.arm == arm] for arm in recipe.arms}
    assert seeds["gppo"] == seeds["clip-higher"] == list(range(SEEDS)) and seeds["cispo"] == [0, 1, 2]
    quick = jobs(recipe, Path("x"), quick=True)
    assert len(quick) == 2 and {job.seed for job in quick} == {1000}
    tuning = jobs(recipe, Path("x"), seeds=2, first=1000)
    assert {job.seed for job in tuning} == {1000, 1001}


@dataclass(frozen=True)
class OneFile:
    """A measure that only some runs can give."""

    name: str

    def __call__(self, folder: Path) -> np.ndarray:
        return np.array([float((folder / self.name).read_text())])


def test_an_arm_is_asked_only_what_the_claim_asks_of_it_and_a_quick_look_judges_what_it_can(tmp_path: Path) -> None:
    score, price = OneFile("score"), OneFile("price")
    better = [Better("new", than=other, metric=score) for other in ("old", "far")]
    gppo = find(Order("gppo"))
    arms = dict.fromkeys(("old", "new", "far"), gppo.arms["gppo"])
    recipe = replace(gppo, arms=arms, claim=All([*better, Above("new", price, 1.0)]), measures=())
    for name, value in (("old", 1.0), ("new", 2.0), ("far", 3.0)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "score").write_text(str(value))
    (tmp_path / "new" / "price").write_text("2.0")
    todo = [Job(arm, 0, tmp_path / arm) for arm in recipe.arms]
    assert {arm: list(of) for arm, of in measured(recipe, todo).items()} == {
        "old": ["score"],
        "new": ["score", "price"],
        "far": ["score"],
    }
    assert len(judged(recipe, measured(recipe, todo))) == 3
    look = judged(recipe, measured(recipe, todo[:2]))
    assert [(found.measure, found.difference.value) for found in look] == [("score", 1.0), ("price", 2.0)]


def test_a_stamp_changes_with_the_recipe_and_not_with_its_comments() -> None:
    gppo, lite = find(Order("gppo")), find(Order("lite-ppo"))
    assert stamp(gppo) == stamp(find(Order("gppo"))) != stamp(lite)


def test_of_private_files_those_count_that_a_component_imports(monkeypatch) -> None:
    read: set[str] = set()
    monkeypatch.setattr("whet.stamps._tree", lambda file: read.add(f"{file.parent.name}/{file.name}"))
    stamp(find(Order("gppo")))
    assert {"objectives/gradient_preserving.py", "objectives/_masked.py", "stages/rl.py"} <= read
    assert not {"objectives/_attempts.py", "whet/types.py"} & read


RESULTS = [file for file in sorted((ROOT / "results").glob("*.json")) if "command" not in json.loads(file.read_text())]


@pytest.mark.parametrize("file", RESULTS, ids=lambda file: file.stem)
def test_a_stored_verdict_is_what_the_stored_values_give(file: Path) -> None:
    held = json.loads(file.read_text())
    for run in held["runs"]:
        if run["verdict"] is None:
            continue
        values = {arm: {name: np.array(x, float) for name, x in of.items()} for arm, of in run["values"].items()}
        recipe = find(Order(held["recipe"]))
        if run["stamp"] != stamp(recipe):
            continue  # of an earlier form of the recipe, whose claim may have been another
        again = judged(recipe, values)
        assert verdict(again) == run["verdict"]
        for now, then in zip(again, run["findings"], strict=True):
            assert now.statement == then["statement"] and now.verdict == then["verdict"]
            assert now.difference.value == pytest.approx(then["difference"]["value"], abs=1e-4)
        for arm, found in run["arms"].items():
            assert len(found["seeds"]) == (SEEDS if arm in run["values"] else recipe.seeds)


@pytest.mark.parametrize("file", RESULTS, ids=lambda file: file.stem)
def test_the_intervals_of_the_newest_run_hold_their_values(file: Path) -> None:
    run = json.loads(file.read_text())["runs"][-1]
    found = [of for arm in run["arms"].values() for of in arm.values() if isinstance(of, dict)]
    known = [of for of in found if of["low"] is not None]
    assert known and all(of["low"] <= of["value"] <= of["high"] for of in known)


def test_every_recipe_that_compares_has_a_result_or_is_said_to_have_none() -> None:
    compare = {slug for slug in slugs() if (made := find(Order(slug))).claim or len(made.arms) > 1}
    results = {file.stem for file in RESULTS}
    assert results and results | set(waiting(ROOT / "results")) == compare
    assert not results & set(waiting(ROOT / "results"))


def test_what_has_no_result_is_stale_and_so_is_what_has_changed(tmp_path: Path) -> None:
    everything = stale(tmp_path)
    assert "gppo" in everything and "quickstart" not in everything
    (tmp_path / "gppo.json").write_text(json.dumps({"runs": [{"stamp": stamp(find(Order("gppo")))}]}))
    assert "gppo" not in stale(tmp_path)
    (tmp_path / "gppo.json").write_text(json.dumps({"runs": [{"stamp": "another"}]}))
    assert "gppo" in stale(tmp_path)


def test_the_catalogue_is_made_from_the_results() -> None:
    every = read_all(ROOT / "results")
    assert (ROOT / "docs" / "catalogue.md").read_text() == page(every, waiting(ROOT / "results"))
    assert {row[0] for row in rows(every)} == {file.stem for file in RESULTS}
    assert set(slugs()) >= {row[0] for row in rows(every)}


def test_shares_are_known_by_their_names() -> None:
    assert is_share("pass@1") and is_share("pass@1 after 20 steps") and is_share("hard: pass@8")
    assert not is_share("reward/mean over training") and not is_share("length") and not is_share("k* of pass@k")


def test_a_difference_of_shares_may_be_below_zero() -> None:
    name = Rise(Final("pass@1"), Before()).name
    found = {"value": -0.1, "low": -0.2, "high": 0.05}
    assert within(name, Estimate(**found)) == found and cell(name, found) == "-10.0 points [-20.0, 5.0]"
    assert within("pass@1", Estimate(0.02, -0.2, 1.05)) == {"value": 0.02, "low": 0.0, "high": 1.0}
