"""A mixture of small sources, and what was played of it."""

from __future__ import annotations

import torch

from helpers.examples import attempt, row
from whet.tasks.chain_sum import ChainSum
from whet.tasks.mixture import Mixture
from whet.types import Group, Problem, Scored


def mixture(*names: str, seed: int = 0) -> Mixture:
    return Mixture({name: ChainSum(2, seed=seed + k) for k, name in enumerate(names)})


def played(source: str, *correct: float, problem: str = "p") -> Scored:
    """A group at a problem of a source; the rewards are the correctness."""
    name = f"{source}:{problem}"
    attempts = tuple(attempt(row([1, 2], [0, 1]), problem=name) for _ in correct)
    rewards = tuple(torch.tensor([0.0, value]) for value in correct)
    info = {"source": source} if source else {}
    return Scored(Group(Problem(name, "?", "1", info), attempts), rewards, {"correct": torch.tensor(correct)})
