"""What the doctor looks at: one stage of a run, its first problems, and a few attempts at them."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, is_dataclass, replace
from typing import Any

import numpy as np
import torch

from whet.describe import children, walk
from whet.models.lm import LM
from whet.run import Run, Save, Screen
from whet.schedule import at
from whet.scoring import totals
from whet.stages.rl import RL
from whet.types import Decoding, Problem, Scored

LOOKED = 16  # our choice: problems whose answers are looked at
_PLAYED = 16  # our choice: problems that are played, at most
_WORK = {"cpu": 4e10, "cuda": 4e12}  # our choice: floating-point operations of the attempts, about a second or two
_LEAST = 8  # our choice: tokens of an attempt that are played in any case
_FEW = 2  # our choice: attempts at a problem where already one group would take long


@dataclass(frozen=True)
class Case:
    """A stage at its step 0, about to begin in `run`, which is a rehearsal. `golds`: gold answers in several forms,
    the last a nonsense, with their rewards; `played`: attempts with theirs, cut short or fewer than a group where a
    model is so large that whole ones would take long (`short`). `warmed`: a stage before this one trains
    the policy, so that what it does now says little of what it will do."""

    run: Run
    stage: RL
    problems: tuple[Problem, ...]
    golds: tuple[Scored, ...] = ()
    played: tuple[Scored, ...] = ()
    short: bool = False
    warmed: bool = False

    @property
    def lm(self) -> LM:
        return self.run.lms["policy"]

    @property
    def decodings(self) -> list[Decoding]:
        """All ways of sampling in the rollout."""
        return [part for _, part in walk(self.stage.rollout) if isinstance(part, Decoding)]

    @property
    def episodes(self) -> bool:
        """Whether an environment answers the policy: then no text by itself is the right one."""
        return any(hasattr(part, "episode") for _, part in walk(self.stage.rollout))

    @property
    def solo(self) -> bool:
        """Whether a rollout is one answer: no turns, chunks or forks."""
        return len(self.decodings) == 1 and not any(hasattr(p, "turns") for _, p in walk(self.stage.rollout))

    @property
    def rewards(self) -> list[float]:
        """Of all played attempts."""
        return [reward for scored in self.played for reward in totals(scored).tolist()]


class Aside:
    """A screen that shows warnings only: no steps of a rehearsal."""

    def __init__(self, screen: Screen) -> None:
        self.screen = screen

    def begin(self, title: str, steps: int, done: int) -> None: ...
    def advance(self, done: int, metrics: Mapping[str, float]) -> None: ...
    def end(self) -> None: ...
    def alert(self, text: str) -> None: ...

    def warn(self, text: str) -> None:
        self.screen.warn(text)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Python's, numpy's and torch's own generators go on afterwards as if nothing had been drawn: somebody's task or
    reward may use them."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])


def shortened(stage: RL, lm: LM, problems: int, prompt: float, thorough: bool) -> tuple[RL, bool]:
    """The stage with so few problems, and if it must be attempts and tokens, that playing it takes a second or two, ten
    times as much if `thorough`; and whether its attempts are not whole. `prompt`: tokens of one."""
    parameters = sum(p.numel() for p in lm.parameters())
    room = _WORK["cuda" if lm.device.type == "cuda" else "cpu"] * (10 if thorough else 1) / (2 * parameters)
    parts = [part for _, part in walk(stage.rollout)]
    group = max([int(part.group) for part in parts if isinstance(getattr(part, "group", None), int)], default=1)
    turns = max([int(part.turns) for part in parts if isinstance(getattr(part, "turns", None), int)], default=1)
    longest = turns * max([part.max_tokens for part in parts if isinstance(part, Decoding)], default=1)
    most = min(problems, _PLAYED)
    fit = int(room / (group * (prompt + min(longest, lm.context))))
    plain = replace(stage, refills=0, callbacks=(), save=Save(every=1 << 40))
    if fit >= min(2, most):
        return replace(plain, problems=min(fit, most)), False
    tokens = max(_LEAST, int(room / (2 * _FEW) - prompt))
    return replace(plain, problems=min(2, most), rollout=_limited(stage.rollout, tokens)), True


def _limited(node: Any, tokens: int) -> Any:
    """A rollout with at most so many tokens in an extension, and few attempts."""
    if isinstance(node, Decoding):
        return replace(node, max_tokens=min(node.max_tokens, tokens))
    if is_dataclass(node) and not isinstance(node, type):
        new = {name: _limited(value, tokens) for name, value in children(node)}
        if isinstance(new.get("group"), int):
            new["group"] = min(new["group"], _FEW)
        changed = {name: value for name, value in new.items() if value is not getattr(node, name)}
        return replace(node, **changed) if changed else node
    return node


def opened(stage: RL, run: Run) -> tuple[tuple[Problem, ...], float]:
    """The first problems that the curriculum draws, and the mean length of their prompts in tokens."""
    me, lm = at(stage, 0), run.lms["policy"]
    problems = tuple(me.curriculum.draw(me.task, max(int(me.problems), LOOKED), run.stream("check")))
    lengths = [len(lm.codec.open(problem, lm.context).rows[0]) for problem in problems]
    return problems, sum(lengths) / len(lengths)
