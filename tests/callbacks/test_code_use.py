from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from helpers.examples import attempt, row

from whet.callbacks.code_use import CodeUse
from whet.types import Group, Problem, Scored, Trajectory, Turn

ERROR, FINE = "<interpreter>NameError: x</interpreter>", "<interpreter>2</interpreter>"


class Notes:
    def __init__(self) -> None:
        self.held: dict[str, float] = {}

    def note(self, values: dict[str, float]) -> None:
        self.held |= values


def calling(*heard: str) -> Trajectory:
    """Two tokens of the policy, one of the interpreter, two of the policy, ..."""
    turns, sampled = [], []
    for said in heard:
        turns += [Turn("policy", "c", 0, len(sampled), len(sampled) + 2)]
        turns += [Turn("env", said, 0, len(sampled) + 2, len(sampled) + 3)]
        sampled += [1, 1, 0]
    turns += [Turn("policy", "a", 0, len(sampled), len(sampled) + 2)]
    return replace(attempt(row(range(len(sampled) + 2), [*sampled, 1, 1])), turns=tuple(turns))


def noted(source: str, values: list[float], *attempts: Trajectory) -> Scored:
    problem = Problem("p", "1", "1", {"source": source})
    rewards = tuple(torch.zeros(len(t.rows[0])) for t in attempts)
    return Scored(Group(problem, attempts), rewards, {"correct": torch.tensor(values)})


def told(*scored_P: Scored) -> dict[str, Any]:
    notes = Notes()
    asyncio.run(CodeUse()(notes, 0, list(scored_P)))
    return notes.held


def test_ratio_place_success_and_mending_are_noted():
    hard = noted("hard", [1, -1, -1], calling(ERROR, FINE), calling(ERROR), calling())
    assert told(hard, noted("easy", [1], calling())) == {
        "code/ratio": 0.5,
        "code/ratio/hard": pytest.approx(2 / 3),
        "code/ratio/easy": 0.0,
        "code/first": pytest.approx((2 / 6 + 2 / 4) / 2),
        "code/passed/right": 0.5,
        "code/passed/wrong": 0.0,
        "code/fixed": 0.5,
    }


def test_without_code_only_the_ratio_is_noted_and_no_verdict_is_left_out():
    assert told(noted("easy", [1, math.nan], calling(), calling(FINE))) == {"code/ratio": 0.0, "code/ratio/easy": 0.0}
    assert told() == {}
