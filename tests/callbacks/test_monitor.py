"""A monitoring set, and the targets that are taken from it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.model_small import shaken
from helpers.runs import SMALL, go, metrics, sums, text_of

from whet.callbacks.monitor import Monitor
from whet.objectives.clip import Clip
from whet.rewards.targets import Shrinking, TargetByDifficulty
from whet.rewards.within_target import WithinTarget
from whet.rollouts.sample import Sample
from whet.run import INTERRUPT, Interrupted, Save
from whet.scoring import Weighted
from whet.stages.evaluate import Evaluate
from whet.stages.learning import Train
from whet.stages.rl import RL
from whet.types import Decoding, Group

attempts = Sample(group=4, decoding=Decoding(max_tokens=6))


def even(group: Group) -> torch.Tensor:
    """A reward that an untrained model gets often enough."""
    return torch.tensor([float(sum(map(ord, text)) % 2) for text in text_of(group)])


def stage(every: int = 2, steps: int = 6, ahead: int = 0) -> RL:
    """Targets by difficulty and one that shrinks, in one reward."""
    targets = TargetByDifficulty(start=6, grid=(1, 2, 3, 4, 5, 6), attempts=4)
    shrinking = Shrinking(start=6, least=2, by=1, share=0.5, patience=1)
    terms = {"correct": even, "class": WithinTarget(even, targets), "one": WithinTarget(even, shrinking)}
    asked = Evaluate(sums(20), attempts, Weighted({"correct": even}), split="validation", problems=6)
    return RL(
        sums(20),
        attempts,
        Weighted(terms, weights={"class": 0.5, "one": 0.25}),
        {"policy": Train(Clip(), lr=1e-2)},
        problems=3,
        steps=steps,
        callbacks=[Monitor(asked, targets, every=every)],
        ahead=ahead,
        save=Save(every=1),
    )


def targets_of(rl: RL) -> TargetByDifficulty:
    return rl.callbacks[0].into  # type: ignore[attr-defined]


def test_targets_are_taken_every_few_steps_and_noted(tmp_path: Path) -> None:
    rl = stage()
    go(tmp_path, rl)
    lines = metrics(tmp_path)
    assert ["target/high" in line for line in lines] == [False, True] * 3
    assert {name: lines[-1][f"target/{name}"] for name in ("high", "medium", "low")} == targets_of(rl).state
    assert sum(lines[-1][f"monitor/{name}"] for name in ("high", "medium", "low")) == pytest.approx(1)


def test_what_it_samples_counts_as_the_runs_own(tmp_path: Path) -> None:
    go(tmp_path, stage())
    lines = metrics(tmp_path)
    played = sum(line["length/mean"] * line["attempts"] for line in lines)
    assert lines[-1]["tokens"] == pytest.approx(played + sum(line.get("monitor/tokens", 0) for line in lines))


@pytest.mark.parametrize("ahead", [0, 2])
def test_a_run_that_was_resumed_is_the_run_that_was_not(tmp_path: Path, ahead: int) -> None:
    whole = go(tmp_path / "whole", stage(ahead=ahead), lm=shaken(SMALL))
    for out in (1, 2, 3):
        folder = tmp_path / f"cut{out}"
        first = stage(steps=6, ahead=ahead)
        with pytest.raises(Interrupted):
            go(folder, replace(first, callbacks=[*first.callbacks, _Stop(out)]), lm=shaken(SMALL))
        INTERRUPT.clear()
        rest = stage(ahead=ahead)
        again = go(folder, rest, lm=shaken(SMALL))
        assert _told(folder) == _told(tmp_path / "whole")
        a, b = whole.lms["policy"].state_dict(), again.lms["policy"].state_dict()
        assert all(torch.equal(a[name], b[name]) for name in a)


class _Stop:
    """Ctrl-C in step `step`."""

    def __init__(self, step: int) -> None:
        self.step = step

    async def __call__(self, run, step, scored_P) -> None:
        if step == self.step:
            INTERRUPT.set()


def _told(folder: Path) -> list[str]:
    lines = [{k: v for k, v in line.items() if not k.startswith("time/")} for line in metrics(folder)]
    return [json.dumps(line, sort_keys=True) for line in lines]


def test_every_is_at_least_one_step() -> None:
    with pytest.raises(ValueError, match="at least 1 step, got 0"):
        stage(every=0)
