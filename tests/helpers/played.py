"""Attempts made by hand and written to disk by the run's own writer: for what reads the files of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from whet.files import append_json, write_json
from whet.stages.record import record
from whet.types import Credit, Group, Problem, Row, Scored, Trajectory, Turn


@dataclass(frozen=True)
class Attempt:
    """What was said in turn: rows of (role, text), one token for each character."""

    rows: Sequence[Sequence[tuple[str, str]]]
    reward: float = 0.0
    stop: str = "eos"
    outcome: str = "wrong"
    error: str = ""
    advantage: float = 0.0


@dataclass(frozen=True)
class Told:
    """A group."""

    attempts: Sequence[Attempt]
    problem: str = "p0"
    answer: str | None = "4"
    slot: int = 0
    name: str = "direct"
    kept: bool = True
    terms: Mapping[str, Sequence[float]] = field(default_factory=dict)


def said(text: str, prompt: str = "2+2=", **more: Any) -> Attempt:
    """An attempt of one row."""
    return Attempt([[("prompt", prompt), ("policy", text)]], **more)


def write_step(folder: Path, step: int, groups: Sequence[Told], stage: int = 0) -> Path:
    """The file of a step."""
    scored = [_scored(told) for told in groups]
    kept = [one for one, told in zip(scored, groups, strict=True) if told.kept]
    credit = Credit(
        [
            [
                _sampled(trajectory) * attempt.advantage
                for trajectory, attempt in zip(s.group.trajectories, t.attempts, strict=True)
            ]
            for s, t in zip(kept, [told for told in groups if told.kept], strict=True)
        ]
    )
    run: Any = SimpleNamespace(folder=folder, number=stage)
    record(run, step, scored, kept, credit, {})
    return folder / "rollouts" / f"{stage}-{step:08d}.parquet"


def write_log(folder: Path, lines: Sequence[Mapping[str, Any]], **order: Any) -> None:
    """`metrics.jsonl` and `recipe.json`."""
    told = {"recipe": "sums", "arm": "grpo", "seed": 0, **order}
    write_json(
        folder / "recipe.json", {"order": told, "arm": told["arm"], "seed": told["seed"], "stages": [], "evaluate": []}
    )
    for line in lines:
        append_json(folder / "metrics.jsonl", {"stage": "rl", "number": 0, **line})


def _scored(told: Told) -> Scored:
    trajectories = tuple(_trajectory(told, attempt) for attempt in told.attempts)
    rewards = tuple(
        _last(trajectory, attempt.reward) for trajectory, attempt in zip(trajectories, told.attempts, strict=True)
    )
    whole = torch.tensor([attempt.reward for attempt in told.attempts])
    terms = {"correct": whole, **{name: torch.tensor(values) for name, values in told.terms.items()}}
    group = Group(Problem(told.problem, "", told.answer), trajectories, told.name, told.slot)
    return Scored(group, rewards, terms, {"correct": tuple(attempt.outcome for attempt in told.attempts)})


def _trajectory(told: Told, attempt: Attempt) -> Trajectory:
    rows, turns = [], []
    for number, parts in enumerate(attempt.rows):
        text = "".join(part for _, part in parts)
        mine = torch.tensor([role == "policy" for role, part in parts for _ in part], dtype=torch.bool)
        ids = torch.tensor([ord(c) % 128 for c in text], dtype=torch.int64)
        rows.append(Row(ids, mine, mine, torch.where(mine, -0.5, 0.0), torch.where(mine, 0, -1).int()))
        at = 0
        for role, part in parts:
            turns.append(Turn(role, part, number, at, at + len(part)))
            at += len(part)
    info = {"error": attempt.error} if attempt.error else {}
    return Trajectory(Problem(told.problem, ""), tuple(rows), tuple(turns), attempt.stop, info)  # type: ignore[arg-type]


def _sampled(trajectory: Trajectory) -> torch.Tensor:
    return torch.cat([row.sampled for row in trajectory.rows]).float()


def _last(trajectory: Trajectory, reward: float) -> torch.Tensor:
    out = torch.zeros(sum(len(row) for row in trajectory.rows))
    out[-1] = reward
    return out
