"""Memory and disk: is there enough for the whole run?"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from whet.describe import walk
from whet.doctor.case import Case
from whet.doctor.finding import Finding
from whet.given import added
from whet.learners.memory import memory_of
from whet.models.derived import Copy, Follow, Start
from whet.schedule import at
from whet.stages.rl import RL

_TIGHT = 0.9  # our choice: share of what there is
_OF_A_TOKEN = 24  # our choice: bytes of a stored token, compressed: ids, log-probs, masks, what learning saw
_GIB = 2**30


def memory(case: Case, stage: RL) -> Iterator[Finding]:
    """The worst moment of a step fits into memory."""
    lm, machine = case.lm, case.run.machine
    me = at(stage, 0)
    for name, train in me.train.items():
        learner = case.run.learner(name, **train.adamw)
        copies = sum(isinstance(spec, (Copy, Follow, Start)) for spec in added(stage).values()) + int(stage.ahead)
        longest = longest_row(case, stage)
        try:
            need = learner.memory(longest, tokens_of_a_step(case, stage), copies).total
        except ValueError as error:  # already its longest row does not fit
            yield Finding("memory", "a row of full length fits into memory", str(error), "see there")
            continue
        have = memory_of(str(lm.device))
        if need > _TIGHT * have:
            yield Finding(
                "memory",
                "a step fits into memory at its worst moment",
                f"{need / _GIB:.1f} GiB needed for {name!r}, {have / _GIB:.1f} there",
                "try --machine "
                f"{machine.device},checkpointing=true, fewer problems or a shorter max_tokens, or --lora 16",
                "error" if need > have else "warning",
            )


def disk(case: Case, stage: RL, folder: Path) -> Iterator[Finding]:
    """Checkpoints, model and rollouts fit on the disk."""
    lm = case.lm
    every = sum(p.numel() for p in lm.parameters())
    learned = sum(p.numel() for p in lm.learned().values())
    one = learned * 4 * (2 + 1 + int(stage.ahead))  # two moments and the weights of every version that is kept
    need = (stage.save.keep + 1) * one + 2 * 4 * every
    need += int(tokens_of_a_step(case, stage) * _OF_A_TOKEN * stage.steps)
    have = shutil.disk_usage(_there(folder)).free
    if need > have / 2:
        yield Finding(
            "disk",
            "checkpoints, rollouts and the model fit on the disk",
            f"up to {need / _GIB:.1f} GiB for the run, {have / _GIB:.1f} free at {_there(folder)}",
            "free some space, or choose another disk with --out",
            "error" if need > 2 * have else "warning",
        )


def longest_row(case: Case, stage: RL) -> int:
    """Tokens of the longest row that a rollout may make: prompt and all its turns, at most the context."""
    lm = case.lm
    prompt = max(len(lm.codec.open(problem, lm.context).rows[0]) for problem in case.problems)
    parts = [part for _, part in walk(stage.rollout)]
    turns = max([int(p.turns) for p in parts if isinstance(getattr(p, "turns", None), int)], default=1)
    return min(lm.context, prompt + turns * max((d.max_tokens for d in case.decodings), default=0))


def tokens_of_a_step(case: Case, stage: RL) -> int:
    """At most, prompts counted once a problem."""
    parts = [part for _, part in walk(stage.rollout)]
    group = max([int(p.group) for p in parts if isinstance(getattr(p, "group", None), int)], default=1)
    return int(at(stage, 0).problems) * group * longest_row(case, stage)


def _there(folder: Path) -> Path:
    """The nearest folder above that exists."""
    return next(place for place in (folder, *folder.resolve().parents) if place.exists())


CHECKS: Sequence[Any] = (memory, disk)
