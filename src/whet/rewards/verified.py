"""Whether the answer is right, by a verifier."""

from __future__ import annotations

import inspect
import json
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

import torch

from whet.rewards.text import Extract, extracted, response
from whet.types import Group, Judged, Problem
from whet.verifiers import find
from whet.verifiers.pool import Verdict, shared
from whet.verifiers.user import look

VALUES = {"right": 1.0, "wrong": 0.0, "unparseable": 0.0, "timed out": 0.0, "crashed": 0.0, "failed": math.nan}


@dataclass(frozen=True)
class Verified:
    """value_g = 1 if the verifier calls attempt g's answer "right"; 0 if "wrong", "unparseable", "timed out" or
    "crashed", which are the answer's own doing; NaN if "failed", which is ours. Of a verifier that grades, the number
    that it gives.

    `verifier`: one of `whet.verifiers` ("exact", "numeric", "math", "sql", ..., all in docs/verifiers.md) or
    "file.py:function" with `verify(answer, gold) -> "right" | "wrong" | "unparseable"`; it runs in the pool of worker
    processes. `extract`: where the answer stands, see `rewards.text.extracted`; an attempt without one is
    "unparseable". `options` go to the verifier. The gold answer is `group.problem.answer`: text, or JSON values.

    Raises ValueError for an unknown verifier, option or extraction, and for a problem that has no answer.
    """

    verifier: str = "exact"
    extract: Extract = "answer"
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.extract not in get_args(Extract):
            raise ValueError(f"Verified.extract must be one of {get_args(Extract)}, got {self.extract!r}")
        if ":" in self.verifier:
            look(self.verifier)
            return
        taken = list(inspect.signature(find.function(self.verifier)).parameters)[2:]
        for name in self.options:
            if name not in taken:
                raise ValueError(
                    f"verifier {self.verifier!r} has no option {name!r}; it has {', '.join(taken) or 'none'}"
                )

    async def __call__(self, group: Group) -> Judged:
        gold = _gold(group.problem)
        answers = [extracted(response(trajectory), self.extract) for trajectory in group.trajectories]
        given = [(answer, gold) for answer in answers if answer and not answer.isspace()]
        verdicts = iter(await shared().check(self.verifier, given, **self.options))
        none = Verdict("unparseable", "no answer")
        spoken = [next(verdicts) if answer and not answer.isspace() else none for answer in answers]
        for verdict in spoken:
            if verdict.outcome == "failed":
                _warn(self.verifier, verdict.detail)
        values = [VALUES[v.outcome] if v.value is None else v.value for v in spoken]
        outcomes, seconds = (tuple(v.outcome for v in spoken), tuple(v.seconds for v in spoken))
        return Judged(torch.tensor(values), outcomes, seconds)


exact = Verified("exact")


def _gold(problem: Problem) -> str:
    if problem.answer is None:
        raise ValueError(f"problem {problem.id!r} has no answer to verify against; give it one, or use another reward")
    return problem.answer if isinstance(problem.answer, str) else json.dumps(problem.answer)


_warned: set[str] = set()


def _warn(verifier: str, detail: str) -> None:
    """Say once per verifier why there is no verdict; how often it happens is in the metrics."""
    if verifier not in _warned:
        _warned.add(verifier)
        warnings.warn(
            f"verifier {verifier!r} failed, and such attempts are left out; the first time: {detail}",
            RuntimeWarning,
            stacklevel=2,
        )
