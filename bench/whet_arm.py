"""Whet's side: the stage RL in a run with a folder, as a recipe would have it."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path

from bench.arm import THREADS, Worker
from bench.workload import GROUP, PROBLEMS, Case, InOrder, Right
from whet.advantages.group_mean import GroupMean
from whet.machines.profile import Machine
from whet.models.lm import LM, load
from whet.objectives.clip import Clip
from whet.rollouts.sample import Sample
from whet.run import Run, Save, Silent
from whet.scoring import Weighted
from whet.stages.learning import Train
from whet.stages.rl import RL
from whet.types import Decoding

_NEVER = 10**9


def stage(case: Case, steps: int = _NEVER) -> RL:
    """GRPO as both sides do it. The advantage's numbers are TRL's, so that the losses are equal."""
    return RL(
        case.task,
        rollout=Sample(GROUP, Decoding(max_tokens=case.longest)),
        reward=Weighted({"correct": Right()}),
        train={"policy": Train(Clip(0.2, 0.2), lr=1e-6, betas=(0.9, 0.999), clip_norm=1.0)},
        advantage=GroupMean(unbiased=True, eps=1e-4),
        curriculum=InOrder(),
        problems=PROBLEMS,
        steps=steps,
        save=Save(every=_NEVER),
    )


class Steps(Silent):
    """Hears of every step as the command line's screen would, and passes it on."""

    def __init__(self, worker: Worker, told: object) -> None:
        self.worker, self.told, self.tokens = worker, told, 0

    def begin(self, title: str, steps: int, done: int) -> None:
        self.worker.begin(self.told)

    def advance(self, done: int, metrics: Mapping[str, float]) -> None:
        new = int(metrics["tokens"]) - self.tokens
        self.tokens += new
        self.worker.done(new, metrics["time/play"])


def prompts(lm: LM, case: Case, count: int = PROBLEMS) -> list[list[int]]:
    """The tokens of the first prompts."""
    opened = (lm.codec.open(case.task.problem("train", i), lm.context) for i in range(count))
    return [trajectory.rows[0].tokens.tolist() for trajectory in opened]


def run(pipe: Connection, case: Case, folder: Path, machine: Machine | None = None) -> None:
    lm = load(str(folder))
    machine = machine or Machine(case.device, precision=case.precision, threads=THREADS)
    screen = Steps(Worker(pipe), prompts(lm, case))
    with tempfile.TemporaryDirectory() as runs:
        asyncio.run(Run(Path(runs), 0, {"policy": lm}, [stage(case)], machine, screen).go())
