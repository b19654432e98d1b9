"""Small hand-made attempts, for tests that need no model."""

from collections.abc import Sequence

import torch

from whet.types import Group, Problem, Row, Scored, Trajectory, Turn


def row(tokens: Sequence[int], trained: Sequence[int], logprob: float = -0.5, model: str = "policy") -> Row:
    """A row whose trained tokens were sampled with one and the same log-prob."""
    mask = torch.tensor(trained, dtype=torch.bool)
    return Row(
        tokens=torch.tensor(tokens),
        sampled=mask,
        trained=mask,
        logprobs=torch.where(mask, logprob, 0.0),
        versions=torch.where(mask, 0, -1).int(),
        model=model,
    )


def attempt(*rows: Row, problem: str = "p", text: str = "", **more: object) -> Trajectory:
    turns = (Turn("prompt", "?", 0, 0, 1), Turn("policy", text, 0, 1, len(rows[0])))
    return Trajectory(Problem(problem, "?", "1"), rows, turns, "eos", **more)  # type: ignore[arg-type]


def group(*attempts: Trajectory, name: str = "direct", slot: int = 0) -> Group:
    return Group(attempts[0].problem, attempts, name, slot)


def scored(g: Group, rewards: Sequence[float]) -> Scored:
    """Outcome rewards on the last token of each attempt."""
    out = []
    for trajectory, reward in zip(g.trajectories, rewards, strict=True):
        values = torch.zeros(sum(len(r) for r in trajectory.rows))
        values[-1] = reward
        out.append(values)
    return Scored(g, tuple(out), {"correct": torch.tensor(rewards)})
