"""Texts that are better or worse, as attempts to learn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from whet.batching import collate
from whet.models.codec import Codec
from whet.stages.sft import completed, drawn, worked
from whet.types import Batch, Credit, Group, Problem, Scored, Trajectory, joined

_SIDES = {"chosen": 1.0, "rejected": -1.0}
_CHECKED = 1000  # our choice: so many problems of a finite data set are read before the run


class Text(NamedTuple):
    """An attempt to learn from, and what it is worth."""

    trajectory: Trajectory
    credit: Tensor  # [T]: above 0 on tokens that are preferred, below 0 on those that are not, 0 off the trained ones


def pair(codec: Codec, problem: Problem, context: int, per_token: bool = False) -> Text:
    """A problem's two texts as one attempt of two rows, the chosen one first: no micro-batch parts them. ValueError
    where it lacks one, or one is too long."""
    rows, turns, credit = [], [], []
    for i, (name, sign) in enumerate(_SIDES.items()):
        trajectory = worked(codec, problem, context, name=name)
        trained = joined(trajectory, "trained").float()
        rows += trajectory.rows
        turns += [replace(turn, row=i) for turn in trajectory.turns]
        credit.append(sign * trained / (trained.sum() if per_token else 1))
    return Text(Trajectory(problem, tuple(rows), tuple(turns), "eos"), torch.cat(credit))


def singles(codec: Codec, problem: Problem, context: int) -> list[Text]:
    """A problem's texts, each as an attempt of its own. ValueError where it has none, or one is too long."""
    out = []
    for name, sign in _SIDES.items():
        if problem.info.get(name):
            trajectory = worked(codec, problem, context, name=name)
            out.append(Text(trajectory, sign * joined(trajectory, "trained").float()))
    if not out:
        raise ValueError(f"problem {problem.id!r} has neither info['chosen'] nor info['rejected']; give it one of them")
    return out


def strangers(codec: Codec, problems: Sequence[Problem], context: int) -> list[Trajectory]:
    """Each problem's prompt with the texts of the problem after it, cut to the context."""
    out = []
    for problem, other in zip(problems, [*problems[1:], *problems[:1]], strict=True):
        for name in _SIDES:
            if other.info.get(name):
                trajectory = completed(codec, replace(problem, info=other.info), context, name)
                too_long = len(trajectory.rows[0]) > context
                out.append(codec.cut(trajectory, 0, context) if too_long else trajectory)
    return out


def laid(texts_P: Sequence[Sequence[Text]], name: str) -> Batch:
    """The rows of all texts with their credit, and the term "chosen": 1 for a row that is preferred, else 0."""
    scored_P, credit = [], []
    for texts in texts_P:
        trajectories = tuple(text.trajectory for text in texts)
        credit.append([text.credit for text in texts])
        scored_P.append(Scored(Group(trajectories[0].problem, trajectories, name), tuple(credit[-1])))
    batch = collate(scored_P, Credit(credit))
    return replace(batch, terms={"chosen": (batch.advantages.sum(1) > 0).float()})


def check_test(name: str, steps: int, test_problems: int, every: int) -> None:
    """ValueError for numbers of steps and held-out problems that are below 1."""
    for field_name, value in (("steps", steps), ("test_problems", test_problems), ("every", every)):
        if value < 1:
            raise ValueError(f"{name}.{field_name} must be at least 1, got {value}")


def first_problems(stage: Any, seed: int) -> list[Problem]:
    """What a stage reads before the run: the first problems of its splits, and of an endless one a draw."""
    size = stage.task.size(stage.split)
    problems = drawn(stage.task, stage.split, 1, 0, seed) if size is None else []
    problems += [stage.task.problem(stage.split, i) for i in range(min(size or 0, _CHECKED))]
    return problems + (held_out(stage) if stage.test else [])


def held_out(stage: Any) -> list[Problem]:
    """The first `test_problems` problems of a stage's split `test`, or all where there are fewer."""
    size = stage.task.size(stage.test)
    count = stage.test_problems if size is None else min(size, stage.test_problems)
    return [stage.task.problem(stage.test, i) for i in range(count)]


def due(stage: Any, step: int) -> bool:
    """Are held-out problems measured after this step?"""
    return bool(stage.test) and ((step + 1) % stage.every == 0 or step + 1 == stage.steps)
