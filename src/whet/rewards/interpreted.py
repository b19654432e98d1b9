"""Whether an attempt used an interpreter, and what came of it: terms to watch, not to reward."""

from __future__ import annotations

import torch
from torch import Tensor

from whet.sandbox.limits import OUTCOMES
from whet.types import Group, Trajectory


def called(group: Group) -> Tensor:
    """value_g = 1 if something answered attempt g within its turn (a turn "env" of `Interact(role=None)`), else 0: its
    mean is ReTool's code ratio."""
    return torch.tensor([float(bool(_heard(t))) for t in group.trajectories])


def failed(group: Group) -> Tensor:
    """value_g = 1 if an answer to attempt g told of an error or of a time-out, else 0."""
    return torch.tensor([float(any(map(_bad, _heard(t)))) for t in group.trajectories])


def fixed(group: Group) -> Tensor:
    """value_g = 1 if attempt g heard of an error and later got an answer without one, else 0: over `failed`, how often
    a bug is put right."""
    heard_G = [[_bad(text) for text in _heard(t)] for t in group.trajectories]
    return torch.tensor([float(True in bad and False in bad[bad.index(True) :]) for bad in heard_G])


def _heard(trajectory: Trajectory) -> list[str]:
    return [turn.text for turn in trajectory.turns if turn.role == "env"]


def _bad(text: str) -> bool:
    """Told by what `Interpreter` says: an exception's name in front of a colon, or an outcome that is no "ok"."""
    last = (text.removesuffix("</interpreter>").rpartition("<interpreter>")[2].splitlines() or [""])[-1]
    name = last.partition(":")[0]
    return (last in OUTCOMES and last != "ok") or (name.isidentifier() and name.endswith("Error"))
