"""The engine that plays and the learner that learns: do they speak of the same model, temperature and tokens?"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from whet.batching import collate
from whet.doctor.case import Case
from whet.doctor.finding import Finding
from whet.learners.local import Local
from whet.models.lm import LM
from whet.schedule import at
from whet.scoring import judged
from whet.stages.learning import Train, said, to
from whet.types import Batch, Credit, Outputs, Scored, Trajectory, tokens_in

_ROWS = 16  # our choice: rows that are compared
_FACTORS = [2 ** (k / 8) for k in range(-16, 17)]  # our choice: of the temperature, from 1/4 to 4
_MOVE = 0.25  # our choice: how far a weight is moved, in standard deviations


def mask(case: Case) -> Iterator[Finding]:
    """The loss sees what the policy wrote, all of it and nothing else."""
    for attempt in _attempts(case):
        if wrong := _misplaced(attempt):
            yield Finding(
                "mask",
                "the loss sees the tokens that the policy wrote",
                f"an attempt at problem {attempt.problem.id!r} with {wrong}",
                "mend the rollout or track that makes Row.trained and Row.sampled",
            )
            return


def _misplaced(attempt: Trajectory) -> str:
    """What is wrong with the masks of an attempt; "" if nothing is."""
    for i, row in enumerate(attempt.rows):
        written = torch.zeros(len(row), dtype=torch.bool)
        turns = [turn for turn in attempt.turns if turn.row == i]
        for turn in turns:
            written[turn.start : turn.stop] |= turn.role in ("policy", "assistant")
        if turns and (outside := int((row.trained & ~written).sum())):
            return f"{outside} trained tokens that the policy did not write"
        if (apart := int((row.sampled & (row.versions < 0)).sum())) and not row.grafted:
            return f"{apart} tokens marked as sampled that no weights sampled"
        for turn in turns:
            here = slice(turn.start, turn.stop)
            lost = int((row.sampled[here] & ~row.trained[here]).sum())
            if turn.role == "policy" and row.trained[here].any() and lost:
                return f"{lost} of {turn.stop - turn.start} tokens of an answer that the loss does not see"
    return ""


def dropout(case: Case) -> Iterator[Finding]:
    """Two forward passes over the same rows say the same."""
    for name, train, batch in _batches(case):
        learner = _learner(case, name, train)
        first, second = said(learner, batch), said(learner, batch)
        apart = float((first - second).abs().max()) if len(batch) else 0.0
        if apart > _tolerance(case, learner.lm):
            yield Finding(
                "dropout",
                f"the learner of {name!r} says the same of the same tokens twice",
                f"log-probs that differ by up to {apart:.3g} nats",
                "turn dropout off in the model: the sampler's log-probs are without it",
            )


def agreement(case: Case) -> Iterator[Finding]:
    """The log-probs that the engine gave with its tokens are those of the learner."""
    for name, train, batch in _batches(case):
        learner = _learner(case, name, train)
        gap = _gap(learner, batch)
        most = _tolerance(case, learner.lm)
        if gap <= most:
            continue
        factor = _factor(learner, batch, gap, most)
        if factor:
            told = float(batch.temperature[0])
            yield Finding(
                "temperature",
                f"log-probs of {name!r} are those of the temperature that its rows tell",
                f"those of {told * factor:.2f} in rows that tell {told:.2f} ({gap:.3g} nats apart)",
                "let whoever samples write the temperature that it sampled with into the row",
            )
        else:
            yield Finding(
                "log-probs",
                f"engine and learner of {name!r} give a token the same log-prob, at the temperature and top-p in use",
                f"{gap:.3g} nats between them on average, {most:g} are usual",
                "try --machine cpu,engine=reference; if that mends it, the fast engine is at fault",
            )


def _factor(learner: Local, batch: Batch, gap: float, most: float) -> float:
    """What the temperature must be multiplied by for the gap to close; 0 if nothing closes it."""
    found, best = 0.0, gap
    low, high = _FACTORS[0], _FACTORS[-1]
    for _ in range(3):
        for factor in [low * (high / low) ** (k / 16) for k in range(17)]:
            other = _gap(learner, replace(batch, temperature=batch.temperature * factor))
            if other < best:
                found, best = factor, other
        low, high = found / (high / low) ** (1 / 16), found * (high / low) ** (1 / 16)
        if not found:
            return 0.0
    return found if best < max(most, gap / 10) else 0.0


def staleness(case: Case) -> Iterator[Finding]:
    """Once weights have changed, it is the new ones that play."""
    run = case.run
    for name, train, batch in _batches(case):
        learner = _learner(case, name, train)
        if _gap(learner, batch) > _tolerance(case, learner.lm):
            return  # said already
        moved = _movable(learner.lm)
        kept = [weight.detach().clone() for weight in moved]
        before = said(learner, batch)
        try:
            _move(moved)
            changed = float((said(learner, batch) - before).abs().max())
            if changed <= 10 * _tolerance(case, learner.lm):
                continue
            run.publish(run.step + 1, {})
            with torch.no_grad():
                fresh = _played_again(case, name)
                new = _gap(learner, fresh)
                _restore(moved, kept)
                old = _gap(learner, fresh)
        finally:
            _restore(moved, kept)
        if new > _tolerance(case, learner.lm) and old < new:
            yield Finding(
                "stale weights",
                f"after an update the engine plays {name!r} with the new weights",
                f"log-probs {new:.3g} nats from those of the new weights and {old:.3g} from the old ones",
                "mend LM.put, or whatever holds the engine's copy of the weights",
            )


def _movable(lm: LM) -> Sequence[Tensor]:
    """Few weights that learn and change what the model says: an adapter's, or norms and biases."""
    learned = list(lm.learned().items())
    if lm.adapter is not None:
        return [p for name, p in learned if name.startswith("hf.")]
    flat = [p for name, p in learned if p.dim() == 1 and name.startswith("hf.")]
    return flat or [min((p for _, p in learned), key=lambda p: p.numel())]


@torch.no_grad()
def _move(weights: Sequence[Tensor]) -> None:
    draws = torch.Generator().manual_seed(0)
    for weight in weights:
        noise = torch.randn(weight.shape, generator=draws).to(weight)
        scale = float(weight.float().std()) if weight.numel() > 1 else 0.0
        weight.add_(noise * max(scale, 1.0 if weight.dim() == 1 else 0.02) * _MOVE)


@torch.no_grad()
def _restore(weights: Sequence[Tensor], kept: Sequence[Tensor]) -> None:
    for weight, old in zip(weights, kept, strict=True):
        weight.copy_(old)


def _played_again(case: Case, name: str) -> Batch:
    """Attempts at the first problem with the newest weights."""
    run, me = case.run, at(case.stage, 0)
    groups = asyncio.run(_rolled(me.rollout, run.models(), case, run.stream("doctor")))
    zero = [[torch.zeros(tokens_in(t)) for t in group.trajectories] for group in groups]
    none = [Scored(group, tuple(row), {}) for group, row in zip(groups, zero, strict=True)]
    return _own(collate(none, Credit(zero)), name)


async def _rolled(rollout: Any, models: Any, case: Case, seed: int) -> Any:
    return await rollout(models, case.problems[0], seed)


def learns(case: Case, name: str, train: Train, batch: Batch) -> bool:
    """Whether the loss of a model, its further losses included, has a gradient on this batch."""
    rows = batch.of(train.rows or name)
    if not len(rows):
        return False
    learner = _learner(case, name, train)
    rows = rows.rows(list(range(min(len(rows), _ROWS))))
    rows = replace(rows, proximal=said(learner, rows)) if "proximal" in train.needs else rows
    with torch.no_grad():
        outputs = learner.forward(rows, train.needs)
    parts = {key: value for key, value in vars(outputs).items() if value is not None}
    free = {key: value.detach().clone().requires_grad_() for key, value in parts.items()}
    losses = [(train.objective, train.weighting, 1.0)]
    losses += [(extra.objective, extra.weighting, extra.weight) for extra in train.auxiliary.values()]
    for objective, weighting, weight in losses:
        mini = to(replace(rows, weights=weighting(rows)), case.run.machine.device)
        loss = weight * (objective(Outputs(**free), mini)[0] * mini.weights).sum()
        if loss.requires_grad:
            loss.backward()
    return any(value.grad is not None and bool((value.grad != 0).any()) for value in free.values())


# ---------------------------------------------------------------------------------------------------------- the parts


def _attempts(case: Case) -> list[Trajectory]:
    return [attempt for scored in case.played for attempt in scored.group.trajectories]


def _batches(case: Case) -> list[tuple[str, Train, Batch]]:
    """Of every model that learns from what it sampled: a few of its rows."""
    kept = judged(list(case.played)) or list(case.played)
    zero = [[torch.zeros(tokens_in(t)) for t in scored.group.trajectories] for scored in kept]
    batch = collate(kept, Credit(zero)) if kept else None
    found = []
    for name, train in at(case.stage, 0).train.items():
        if batch is not None and not train.rows and len(own := _own(batch, name)):
            found.append((name, train, own))
    return found


def _own(batch: Batch, name: str) -> Batch:
    """The first rows that a model sampled itself, in the context in which they stand."""
    grafted = batch.grafted if batch.grafted is not None else torch.zeros(len(batch), dtype=torch.bool)
    sampled = (batch.trained & (batch.logprobs != 0)).any(1) & ~grafted
    return batch.rows([i for i in range(len(batch)) if sampled[i] and batch.model[i] == name][:_ROWS])


def _learner(case: Case, name: str, train: Train) -> Local:
    return case.run.learner(name, **train.adamw)


def _gap(learner: Local, batch: Batch) -> float:
    """Mean distance of the engine's log-probs from the learner's, in nats, over tokens that somebody sampled."""
    known = batch.trained & (batch.logprobs != 0)
    apart = (said(learner, batch) - batch.logprobs).abs()[known]
    return float(apart.mean()) if len(apart) else 0.0


def _tolerance(case: Case, lm: LM) -> float:
    """Nats; our choice, about ten times what is usual."""
    exact = case.run.machine.precision == "fp32" and next(lm.hf.parameters()).dtype == torch.float32
    return 1e-3 if exact else 0.1


CHECKS: Sequence[Any] = (mask, dropout, agreement, staleness)
