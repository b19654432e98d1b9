"""Groups for reward terms, made of text or of token ids."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from whet.types import Group, Problem, Row, Trajectory, Turn


def row(sampled: list[bool], tokens: list[int] | None = None) -> Row:
    count = len(sampled)
    return Row(
        tokens=torch.tensor(tokens if tokens is not None else list(range(count)), dtype=torch.long),
        sampled=torch.tensor(sampled, dtype=torch.bool),
        trained=torch.tensor(sampled, dtype=torch.bool),
        logprobs=torch.zeros(count),
        versions=torch.zeros(count, dtype=torch.int32),
    )


@pytest.fixture(scope="session")
def texts() -> Callable[..., Group]:
    """texts("a", "b", answer=..., prompt=...): one attempt for each text; a list gives the turns, (role, text)."""

    def made(*said: str | list[tuple[str, str]], answer: Any = None, prompt: Any = "p", opened: str = "", **info: Any):
        problem = Problem("task/1", prompt, answer, info)
        attempts = []
        for text in said:
            turns = [("policy", text)] if isinstance(text, str) else text
            written = [Turn("prompt", f"p{opened}", 0, 0, 1)]
            written += [Turn(role, words, 0, i + 1, i + 2) for i, (role, words) in enumerate(turns)]
            rows = (row([False] + [role == "policy" for role, _ in turns]),)
            attempts.append(Trajectory(problem, rows, tuple(written), "eos"))
        return Group(problem, tuple(attempts))

    return made


@pytest.fixture(scope="session")
def ids() -> Callable[..., Group]:
    """ids([1, 2, -3], ...): one attempt for each list of token ids behind a prompt of two; negative: not sampled.
    A tuple of lists gives an attempt of several rows."""

    def made(*attempts: list[int] | tuple[list[int], ...]) -> Group:
        problem = Problem("task/1", "p", "5")
        trajectories = []
        for attempt in attempts:
            rows = attempt if isinstance(attempt, tuple) else (attempt,)
            full = [[-100, -101, *tokens] for tokens in rows]
            trajectories.append(
                Trajectory(problem, tuple(row([i >= 0 for i in one], [abs(i) for i in one]) for one in full))
            )
        return Group(problem, tuple(trajectories))

    return made
