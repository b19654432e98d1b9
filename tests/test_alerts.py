"""What goes wrong while a run works."""

from __future__ import annotations

import asyncio
import io
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.model_small import shaken
from helpers.runs import SMALL, Warnings, go, metrics, sums, text_of
from rich.console import Console

from whet.alerts import Alert, Alerts
from whet.callbacks.second_verifier import SecondVerifier
from whet.describe import describe
from whet.objectives.clip import Clip
from whet.rollouts.sample import Sample
from whet.run import Run, Save
from whet.scoring import Weighted
from whet.screen import BarScreen, LineScreen
from whet.stages.learning import Train
from whet.stages.rl import RL
from whet.types import Decoding, Group

CALM = {"reward/std": 0.4, "groups/mixed": 0.8, "entropy": 1.0, "kl_old": 0.001, "gap/mean": 1e-6}
FLAT = {"reward/std": 0.0, "groups/mixed": 0.0, "groups/all_right": 0.0, "groups/all_wrong": 1.0}


def names(line: dict[str, Any], past: int = 30, behind: int = 0, alerts: Alerts = Alerts()) -> list[str]:  # noqa: B008
    return [alert.name for alert in alerts([CALM] * past, CALM | line, behind)]


def test_a_calm_step_alerts_nobody() -> None:
    assert names({}) == [] and names({}, past=0) == [] and Alerts()([], {}) == []


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ({"length/limit_share": 0.5}, "length"),
        ({"entropy": 0.099}, "entropy"),
        ({"kl_old": 0.021}, "KL"),
        ({"gap/mean": 0.051}, "gap"),
        ({"outcome/timed out": 0.06}, "time-outs"),
        ({"hidden/gap": 0.21}, "hidden verifier"),
    ],
)
def test_each_threshold_alerts_when_it_is_crossed(line: dict[str, float], name: str) -> None:
    (metric, value), *_ = line.items()
    assert names(line) == [name]
    assert names({metric: math.nan}) == []
    calmer = {"length": 0.49, "entropy": 0.101, "KL": 0.019, "gap": 0.049, "time-outs": 0.05, "hidden verifier": 0.2}
    assert names({metric: calmer[name]}) == [] and value != calmer[name]


def test_a_gap_is_staleness_where_play_is_behind() -> None:
    assert names({"gap/mean": 0.2}, behind=2) == []
    assert names({"gap/mean": 0.31}, behind=2) == ["staleness"]
    (alert,) = Alerts()([], {"gap/mean": 0.5}, 2)
    assert "in the 2 updates since" in alert.message


def test_rewards_that_do_not_differ_alert_after_some_steps() -> None:
    alerts = Alerts(flat=3)
    assert alerts([FLAT], FLAT) == [] and alerts([FLAT, CALM, FLAT], FLAT) == []
    (alert,) = alerts([CALM, FLAT, FLAT], FLAT)
    assert alert.name == "reward std" and "too hard" in alert.message
    easy = FLAT | {"groups/all_right": 1.0, "groups/all_wrong": 0.0}
    assert "too easy" in alerts([FLAT, FLAT], easy)[0].message
    assert [a.name for a in Alerts(flat=1)([], FLAT)] == ["reward std"]


def test_a_spike_needs_a_past_to_stand_out_of() -> None:
    assert names({"kl_old": 5.0}, past=4) == []
    assert names({"kl_old": 5.0}, past=5) == ["KL"]


def test_an_alert_is_new_after_quiet_steps_only() -> None:
    alerts, alert = Alerts(quiet=2), Alert("KL", "it jumped")
    loud = {"alerts": [{"name": "KL", "message": "it jumped"}]}
    assert alerts.new([], [alert]) == [alert]
    assert alerts.new([{}, loud], [alert]) == [] == alerts.new([loud, {}], [alert])
    assert alerts.new([loud, {}, {}], [alert]) == [alert]


def test_wrong_windows_are_refused() -> None:
    with pytest.raises(ValueError, match=r"Alerts.quiet must be at least 1 step, got 0"):
        Alerts(quiet=0)


# -- within a run


def ones(group: Group) -> torch.Tensor:
    return torch.ones(len(group.trajectories))


def even(group: Group) -> torch.Tensor:
    return torch.tensor([float(sum(map(ord, text)) % 2) for text in text_of(group)])


STAGE = RL(
    task=sums(50),
    rollout=Sample(group=3, decoding=Decoding(max_tokens=4)),
    reward=Weighted({"correct": ones}),
    train={"policy": Train(Clip(), lr=1e-3)},
    callbacks=[SecondVerifier(even)],
    problems=3,
    steps=6,
    save=Save(every=2),
    alerts=Alerts(flat=2, quiet=3),
)


def test_alerts_stand_in_the_log_and_are_said_once(tmp_path: Path) -> None:
    screen = Warnings()
    go(tmp_path, STAGE, screen=screen)
    found = [[alert["name"] for alert in line.get("alerts", [])] for line in metrics(tmp_path)]
    assert "reward std" not in found[0] and all("reward std" in step for step in found[1:])
    assert all("length" in step for step in found)
    assert any("hidden verifier" in step for step in found)
    said = screen.alerts
    assert [text for text in said if "reward std" in text] == [
        "step 1: reward std: no group has rewards that differ, so nothing is learned; every attempt is right: "
        "the problems are too easy by now"
    ]
    assert sum("length" in text.split(": ")[1] for text in said) == 1


def test_a_resumed_run_alerts_as_if_it_had_not_been_stopped(tmp_path: Path) -> None:
    whole, first, second = Warnings(), Warnings(), Warnings()
    go(tmp_path / "whole", STAGE, screen=whole)
    go(tmp_path / "parts", replace(STAGE, steps=4), screen=first)
    folder = tmp_path / "parts"
    for start in folder.glob("checkpoints/start-1"):  # as if it had been killed in step 4
        for file in start.iterdir():
            file.unlink()
        start.rmdir()
    lines = [json.loads(line) for line in (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()]
    assert not list(folder.glob("checkpoints/0-*")) and len(lines) == 6
    run = Run(folder, 0, {"policy": shaken(SMALL)}, [STAGE], screen=second)
    asyncio.run(run.go())
    again = metrics(folder)
    assert [line.get("alerts") for line in again] == [line.get("alerts") for line in lines]


def test_thresholds_are_no_part_of_what_a_recipe_is() -> None:
    assert describe(STAGE) == describe(replace(STAGE, alerts=Alerts(gap=1.0)))


def test_a_screen_says_an_alert_again_and_a_warning_once() -> None:
    for kind in (LineScreen, BarScreen):
        console = Console(file=io.StringIO(), width=200)
        screen = kind(console)
        for step in (3, 40):
            screen.alert(f"step {step}: KL: it [jumped]")
            screen.warn(f"step {step}: no update")
        said = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
        assert said == [
            "alert: step 3: KL: it [jumped]",
            "warning: step 3: no update",
            "alert: step 40: KL: it [jumped]",
        ]
