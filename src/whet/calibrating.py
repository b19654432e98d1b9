"""What `whet calibrate` does: which levels of a family of logic puzzles suit a model, from what it solves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import numpy as np

from whet.engines.native import Native
from whet.launch import Order, find, slugs
from whet.machines.profile import Machine, cpu
from whet.metrics.band import Band, calibrate
from whet.models.lm import LM
from whet.models.pretrained import Pretrained
from whet.recipe import make
from whet.rewards.verified import Verified
from whet.rollouts.sample import Sample
from whet.scoring import Weighted
from whet.sources import there
from whet.stages.evaluate import Evaluate
from whet.tasks.logic import FAMILIES, Logic
from whet.types import Decoding


def model(name: str, seed: int = 0, machine: Machine = cpu) -> LM:
    """The model that arms of a shipped recipe start from, with that seed; else a folder or a name on the hub."""
    if name in slugs():
        return make(find(Order(name)).model, seed, machine)
    return Pretrained(there(name, "model folder")).build(seed)


def pass_rate(lms: Sequence[LM], task: Logic, attempts: Sample, problems: int = 16, machine: Machine = cpu) -> float:
    """The share of right answers of models to the first `problems` problems of "validation", which nothing trains or
    tests on."""
    reward = Weighted({"correct": Verified("logic", extract="final")})
    stage = Evaluate(task, attempts, reward, split="validation", problems=problems)
    shares = []
    for lm in lms:
        engine = Native(lm.to(machine.device), rows=machine.rows, engine=machine.engine)
        correct, _ = stage.judge(asyncio.run(stage.play({"policy": engine}, 0)))
        shares.append(np.nanmean(correct))
    return float(np.mean(shares))


def band(
    family: str,
    lms: Sequence[LM],
    target: tuple[float, float] = (0.1, 0.7),
    problems: int = 16,
    attempts: int = 4,
    max_tokens: int = 256,
    most: int | None = None,
    machine: Machine = cpu,
) -> Band:
    """`metrics.band.calibrate` of a family's ladder, up to the level `most`, for a model, or for the mean of several.
    ValueError for an unknown family."""
    Logic(family)
    last = len(FAMILIES[family].ladder) - 1
    last = last if most is None else min(most, last)
    sample = Sample(group=attempts, decoding=Decoding(max_tokens=max_tokens))
    rate: Callable[[int], float] = lambda level: pass_rate(lms, Logic(family, level), sample, problems, machine)  # noqa: E731
    return calibrate(last + 1, rate, target)
