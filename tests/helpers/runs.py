"""Runs of a few steps, in this process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from helpers.model_small import shaken
from whet.models.lm import LM
from whet.models.tiny import TinyQwen
from whet.run import Run, Stage
from whet.types import Group, Problem

SMALL = TinyQwen(width=32, layers=2, context=64)


@dataclass(frozen=True)
class Listed:
    """Given problems, the same in every split."""

    problems: tuple[Problem, ...]

    def size(self, split: str) -> int | None:
        return len(self.problems)

    def problem(self, split: str, i: int) -> Problem:
        return self.problems[i]


@dataclass
class Warnings:
    """A screen that keeps what it is told."""

    said: list[str] = field(default_factory=list)
    alerts: list[str] = field(default_factory=list)

    def begin(self, title: str, steps: int, done: int) -> None: ...
    def advance(self, done: int, metrics: Mapping[str, float]) -> None: ...
    def end(self) -> None: ...

    def warn(self, text: str) -> None:
        self.said.append(text)

    def alert(self, text: str) -> None:
        self.alerts.append(text)


def sums(count: int) -> Listed:
    """1+1= ... with a worked solution."""
    return Listed(
        tuple(Problem(f"p{i}", f"{i}+1=", str(i + 1), {"solution": f"<answer>{i + 1}</answer>"}) for i in range(count))
    )


def text_of(group: Group) -> list[str]:
    return ["".join(t.text for t in attempt.turns if t.role == "policy") for attempt in group.trajectories]


def go(folder: Path, *stages: Stage, lm: LM | None = None, **more: Any) -> Run:
    """The run of these stages, done."""
    run = Run(folder, 0, {"policy": lm or shaken(SMALL)}, list(stages), **more)
    asyncio.run(run.go())
    return run


def metrics(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
