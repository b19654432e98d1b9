"""What `whet audit` does: how often a reward takes wrong answers for right ones and right ones for wrong."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from whet.metrics.intervals import bootstrap
from whet.models.codec import Codec
from whet.models.tiny import bpe_tokenizer
from whet.probes import FRAME, probes, text_of
from whet.scoring import Weighted
from whet.types import Group, Problem, Task, Term, Trajectory

TAKEN = 0.5  # our choice: a value above it says "right"
SHOWN = 10  # our choice: worst cases that are told
_ENDLESS = 1 << 30


def written(problem: Problem, texts: Sequence[str]) -> list[Trajectory]:
    """Texts as attempts at a problem."""
    codec = Codec(bpe_tokenizer((), 263))
    opened = codec.open(problem, _ENDLESS)
    return [codec.answer(opened, text) for text in texts]


async def judged(term: Term, problem: Problem, attempts: Sequence[Trajectory]) -> tuple[list[float], list[str]]:
    """What a reward says to attempts at one problem: values [G], and a verifier's outcomes or "". Where it raises, each
    attempt is asked about alone, and those that make it raise are NaN and "raised"."""
    reward = Weighted({"it": term})

    async def asked(group: Group) -> tuple[list[float], list[str]]:
        scored = await reward({}, group)
        return scored.terms["it"].tolist(), list(scored.outcomes.get("it", [""] * len(group.trajectories)))

    try:
        return await asked(Group(problem, tuple(attempts)))
    except ValueError:
        values, outcomes = [], []
        for attempt in attempts:
            try:
                (value,), (outcome,) = await asked(Group(problem, (attempt,)))
            except ValueError:
                value, outcome = math.nan, "raised"
            values.append(value)
            outcomes.append(outcome)
        return values, outcomes


def audit(
    term: Term, task: Task, problems: int = 100, split: str = "test", seed: int = 0, frame: str = FRAME
) -> dict[str, Any]:
    """{"kinds": {kind: {"should", "probes", "taken": {"value", "low", "high"}, "failed"}}, "false positives", "false
    negatives": {"value", "low", "high"}, "probes": {"right", "wrong"}, "order": how many values change when the same
    attempts come in another order, "slowest": seconds of the slowest problem, "outcomes", "worst": [...]}.

    `taken`: the share with a value above 0.5, as the mean over problems with its 95 % interval. What has no verdict
    (NaN) is counted as failed and in no share. `worst`: wrong answers that were taken first, then right ones that were
    not, at most ten. ValueError for a split without problems, and for problems of which it is not known what is right
    (`whet.probes`).
    """
    size = task.size(split)
    count = problems if size is None else min(problems, size)
    if count < 1:
        raise ValueError(f"there are no problems in {split!r} to audit with; give another split or more problems")
    drawn = [task.problem(split, i) for i in range(count)]
    return asyncio.run(_audit(term, drawn, seed, frame))


async def _audit(term: Term, drawn: Sequence[Problem], seed: int, frame: str) -> dict[str, Any]:
    shares: dict[str, list[float]] = {}
    should: dict[str, bool] = {}
    counts, failed, outcomes = Counter[str](), Counter[str](), Counter[str]()
    false_, missed, worst = [], [], []
    order, slowest = 0, 0.0
    for k, problem in enumerate(drawn):
        near = [other for other in (drawn[k - 1], drawn[k - 2]) if other.id != problem.id]
        others = [text for other in near if (text := text_of(other.answer))]
        tried = probes(problem, others, seed, frame)
        attempts = written(problem, [probe.text for probe in tried])
        started = time.monotonic()
        values, spoken = await judged(term, problem, attempts)
        slowest = max(slowest, time.monotonic() - started)
        back, _ = await judged(term, problem, attempts[::-1])
        order += sum(a != b and not (math.isnan(a) and math.isnan(b)) for a, b in zip(values, back[::-1], strict=True))
        outcomes.update(word for word in spoken if word)
        taken = np.where(np.isnan(values), np.nan, np.array(values) > TAKEN)
        for kind in dict.fromkeys(probe.kind for probe in tried):
            mine = np.array([taken[i] for i, probe in enumerate(tried) if probe.kind == kind])
            should[kind] = next(probe.right for probe in tried if probe.kind == kind)
            counts[kind] += len(mine)
            failed[kind] += int(np.isnan(mine).sum())
            shares.setdefault(kind, []).append(_mean(mine))
        right = np.array([probe.right for probe in tried])
        false_.append(_mean(taken[~right]))
        missed.append(1 - _mean(taken[right]))
        worst += [
            {"problem": problem.id, "kind": p.kind, "text": p.text[:200], "should": p.right, "value": v, "outcome": o}
            for p, v, o, t in zip(tried, values, spoken, taken, strict=True)
            if not math.isnan(t) and bool(t) != p.right
        ]
    return {
        "kinds": {
            kind: {
                "should": should[kind],
                "probes": counts[kind],
                "taken": asdict(bootstrap(of)),
                "failed": failed[kind],
            }
            for kind, of in shares.items()
        },
        "false positives": asdict(bootstrap(false_)),
        "false negatives": asdict(bootstrap(missed)),
        "probes": {
            "right": sum(n for kind, n in counts.items() if should[kind]),
            "wrong": sum(n for kind, n in counts.items() if not should[kind]),
        },
        "order": order,
        "slowest": slowest,
        "outcomes": dict(outcomes),
        "worst": sorted(worst, key=lambda case: case["should"])[:SHOWN],
    }


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else math.nan
