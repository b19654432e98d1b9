"""Positive sampling: the base learns what the trained model got right."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.runs import SMALL, Warnings, go, metrics, shaken, sums

from whet.examples import example_group
from whet.objectives.likelihood import Likelihood
from whet.rollouts.sample import Sample
from whet.run import INTERRUPT, Interrupted, Run, Silent
from whet.scoring import Weighted
from whet.stages.imitate_right import ImitateRight, told
from whet.stages.learning import Train
from whet.stages.positives import positives
from whet.stages.sft import SFT
from whet.types import Decoding, Group, Problem, Scored, sampled_count


def even(group: Group) -> torch.Tensor:
    """A term that some of a shaken model's texts meet."""
    return torch.tensor([float(len(attempt.rows[0]) % 2 == 0) for attempt in group.trajectories])


def never(group: Group) -> torch.Tensor:
    return torch.zeros(len(group.trajectories))


WRITER = Sample(group=6, model="writer", decoding=Decoding(max_tokens=8))
LEARN = Train(Likelihood(), lr=1e-2)
RETRAIN = ImitateRight(sums(8), Weighted({"correct": even}), WRITER, LEARN, problems=3, steps=3)
FIRST = SFT(sums(8), steps=2, problems=4, train=Train(Likelihood(), lr=1e-2))


@dataclass(frozen=True)
class Look:
    """Keeps the weights that it finds."""

    seen: list[dict[str, torch.Tensor]] = field(default_factory=list, compare=False)

    def trains(self) -> list[str]:
        return []

    def check(self, run: Run) -> None: ...

    async def __call__(self, run: Run) -> None:
        self.seen.append({name: weight.clone() for name, weight in run.lms["policy"].weights().items()})


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


def test_the_policy_begins_where_the_run_began_and_not_where_it_stands(tmp_path: Path) -> None:
    start, before, after = shaken(SMALL).weights(), Look(), Look()
    nothing = replace(RETRAIN, reward=Weighted({"correct": never}))
    go(tmp_path, FIRST, before, nothing, after)
    assert not same(before.seen[0], start) and same(after.seen[0], start)
    assert [line["positives"] for line in metrics(tmp_path)[2:]] == [0.0] * 3


def test_it_imitates_the_right_and_different_attempts_of_the_model_that_came_in(tmp_path: Path) -> None:
    kept: list[list[Scored]] = []

    @dataclass(frozen=True)
    class Watched(ImitateRight):
        async def played(self, run: Run, step: int) -> list[Scored]:
            if not step:
                assert same(run.lms["writer"].weights(), before.seen[0])
                assert same(run.lms["policy"].weights(), run.lms["start"].weights())
            kept.append(await super().played(run, step))
            return kept[-1]

    before, after = Look(), Look()
    fields: dict[str, Any] = {name: getattr(RETRAIN, name) for name in RETRAIN.__dataclass_fields__}
    run = go(tmp_path, FIRST, before, Watched(**fields), after)
    texts = [positives(scored_P) for scored_P in kept]
    lines = metrics(tmp_path)[2:]
    assert [line["positives"] for line in lines] == [len(step) for step in texts] and sum(map(len, texts)) > 3
    assert not same(after.seen[0], shaken(SMALL).weights()) and not same(after.seen[0], before.seen[0])
    assert "writer" not in run.lms and "start" not in run.lms
    sampled = sum(sampled_count(t) for scored_P in kept for scored in scored_P for t in scored.group.trajectories)
    assert lines[-1]["tokens"] - metrics(tmp_path)[1]["tokens"] == sampled


def test_the_problems_are_fresh_at_each_step(tmp_path: Path) -> None:
    stage = replace(RETRAIN, task=sums(9))
    run = Run(tmp_path, 0, {"policy": shaken(SMALL)}, [stage], screen=Warnings())
    run._begin(stage, None)
    seen = [s.group.problem.id for step in range(3) for s in asyncio.run(stage.played(run, step))]
    assert sorted(seen) == [f"p{i}" for i in range(9)]


class Stops(Silent):
    """Asks to stop after so many steps, of whatever stage."""

    def __init__(self, step: int) -> None:
        self.left = step

    def advance(self, done: int, metrics: Mapping[str, float]) -> None:
        self.left -= 1
        if not self.left:
            INTERRUPT.set()


def test_a_run_that_is_resumed_is_the_one_that_was_not_stopped(tmp_path: Path) -> None:
    """At the end of the stage before, and within this one: the writer is the model that came in."""

    def left(name: str, stop: int = 0) -> tuple[list[dict[str, Any]], dict[str, torch.Tensor]]:
        if stop:
            with pytest.raises(Interrupted):
                go(tmp_path / name, FIRST, RETRAIN, screen=Stops(stop))
            INTERRUPT.clear()
        run = go(tmp_path / name, FIRST, RETRAIN)
        lines = [{k: v for k, v in line.items() if not k.startswith("time/")} for line in metrics(tmp_path / name)]
        return lines, run.lms["policy"].weights()

    said, weights = left("plain")
    for stop in (2, 3, 4):
        again, others = left(f"stopped-{stop}", stop)
        assert again == said and same(others, weights)


def test_what_it_tells_leaves_out_attempts_without_a_verdict() -> None:
    scored = Scored(example_group(attempts=4), (), {"correct": torch.tensor([1.0, 0.0, float("nan"), 1.0])})
    text = Problem("p", "q")
    found = told([scored], [text, text], "correct")
    assert found == {"positives": 2.0, "positives/right": pytest.approx(2 / 3), "positives/problems": 1.0}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"problems": 0}, "problems must be at least 1, got 0"),
        ({"rollout": Sample()}, "must play the model \"writer\", got 'policy'"),
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(RETRAIN, **wrong)
