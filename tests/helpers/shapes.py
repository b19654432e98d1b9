"""What the shapes share: a model of two layers, a task, a reward that chance can earn, and runs that are killed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from helpers.model_small import shaken
from whet.models.lm import LM
from whet.models.tiny import TinyQwen
from whet.run import Run
from whet.stages.rl import RL
from whet.types import Batch, Group, Objective, Outputs, Problem, Scored, joined


def tiny(context: int = 96, seed: int = 0, alphabet: str = "abcd12?~") -> LM:
    return shaken(TinyQwen(width=32, layers=2, heads=2, kv_heads=1, context=context, alphabet=alphabet), seed)


@dataclass(frozen=True)
class Letters:
    """Six questions without an answer of their own: "ab?", "abab?", "ababab?", ..."""

    def size(self, split: str) -> int:
        return 6

    def problem(self, split: str, i: int) -> Problem:
        return Problem(f"{split}/{i}", "ab" * (1 + i % 3) + "?", info={"solution": "dcd" + "12"[i % 2]})


def odd(group: Group) -> Tensor:
    """[G]: 1 where the ids of the sampled tokens have an odd sum; chance earns it half of the time."""
    sums = [int((joined(t, "tokens") * joined(t, "sampled")).sum()) for t in group.trajectories]
    return torch.tensor([float(total % 2) for total in sums])


def never(group: Group) -> Tensor:
    return torch.zeros(len(group.trajectories))


def go(folder: Path, stage: RL, lms: Mapping[str, LM] | None = None, **more: Any) -> Run:
    """Run one stage to its end."""
    run = Run(folder=folder, seed=0, lms=dict(lms or {"policy": tiny()}), stages=[stage], **more)
    asyncio.run(run.go())
    return run


def played(folder: Path, stage: RL, lms: Mapping[str, LM] | None = None, **more: Any) -> tuple[Run, list[list[Scored]]]:
    """The run, and what was played in each step."""
    steps: list[list[Scored]] = []

    async def keep(run: Run, step: int, scored_P: list[Scored]) -> None:
        steps.append(scored_P)

    return go(folder, replace(stage, callbacks=[*stage.callbacks, keep]), lms, **more), steps


def metrics(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def watched(objective: Objective, seen: list[tuple[Outputs, Batch]]) -> Objective:
    """The objective; what it is given goes into `seen`, too."""

    def call(outputs: Outputs, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        seen.append((outputs, batch))
        return objective(outputs, batch)

    call.needs = getattr(objective, "needs", ())  # pyright: ignore[reportFunctionMemberAccess]
    return call


class Killed(Exception):
    pass


def killed(folder: Path, make: Callable[[], RL], at: Sequence[int], build: Callable[[], LM] = tiny) -> Run:
    """The run of `make()` on `build()`, stopped before the end of each of the steps `at` and resumed from the disk."""
    for last in at:

        async def die(run: Run, step: int, scored_P: list[Scored], last: int = last) -> None:
            if step == last:
                raise Killed

        stage = make()
        try:
            go(folder, replace(stage, callbacks=[*stage.callbacks, die]), {"policy": build()})
        except Killed:
            continue
        raise AssertionError("it was not killed")
    return go(folder, make(), {"policy": build()})


def same(first: Path, second: Path) -> bool:
    """Whether two runs logged the same, to the bit."""
    lines = [
        [{k: v for k, v in line.items() if not k.startswith("time/")} for line in metrics(folder)]
        for folder in (first, second)
    ]
    return repr(lines[0]) == repr(lines[1])
