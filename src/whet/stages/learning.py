"""How a model learns from a batch: mini-batches -> micro-batches -> forward, objective, backward, step."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch

from whet.batching import minibatches
from whet.learners.local import Local
from whet.randomness import stream
from whet.schedule import Count, Number
from whet.stages.looked import Looked
from whet.types import Batch, Objective, Outputs, Weighting
from whet.weightings.token_mean import TokenMean


@dataclass(frozen=True)
class Auxiliary:
    """A further loss on the same rows, with a normaliser of its own: weight * sum(objective * weighting)."""

    objective: Objective
    weighting: Weighting = field(default_factory=TokenMean)
    weight: Number = 1.0


@dataclass(frozen=True)
class Train:
    """How one model is trained within a stage. With `auxiliary` losses k, by name, the loss of an optimizer step is

        sum(objective * weighting) + sum_k weight_k * sum(objective_k * weighting_k),

    where every weighting sees the step's whole batch. `{"nll": Auxiliary(Likelihood(), Where("correct"), 0.1)}` adds
    the negative log-likelihood of correct replies.

    `most_kl` ends a step's updates early: one on whose trained tokens the metric "kl_old" has a mean above it is not
    made, nor is any after it. "kl_old" is the objective's estimate of KL(old || new), see `Clip`; implementations of
    PPO stop so at 1.5 times a target. ValueError for an objective that does not measure it.
    """

    objective: Objective
    weighting: Weighting = field(default_factory=TokenMean)
    lr: Number = 1e-3
    warmup: int = 0  # steps over which the learning rate rises linearly from 0
    epochs: Count = 1  # passes over a step's batch (PPO's and GRPO's num_iterations)
    minibatches: Count = 1  # optimizer steps per pass
    clip_norm: Number = 1.0  # of the whole gradient; 0 turns it off
    betas: tuple[float, float] = (
        0.9,
        0.99,
    )  # our choice: 0.99 follows the fast drift of RL gradients; AdamW's is 0.999
    weight_decay: float = 0.0
    eps: float = 1e-8
    most_kl: Number | None = None  # nats per token: no update of a step, nor any after it, once "kl_old" is beyond it
    rows: str = ""  # whose rows it learns from; "" means its own. A critic learns from the policy's.
    auxiliary: Mapping[str, Auxiliary] = field(default_factory=dict)  # further losses, by name

    def __post_init__(self) -> None:
        for name in ("epochs", "minibatches"):
            value = getattr(self, name)
            if isinstance(value, int) and value < 1:
                raise ValueError(f"Train.{name} must be at least 1, got {value}")
        for name in self.auxiliary:
            if not name or name == "gap":
                raise ValueError(
                    f"Train.auxiliary names its metrics, so {name!r} is no name for a loss; choose another"
                )

        if isinstance(self.most_kl, (int, float)) and not self.most_kl > 0:
            raise ValueError(f"Train.most_kl must be above 0, got {self.most_kl}; None makes all updates")

    @property
    def needs(self) -> set[str]:
        """What the objectives read of the forward pass beyond log-probs."""
        objectives = [self.objective, *(extra.objective for extra in self.auxiliary.values())]
        return {need for objective in objectives for need in getattr(objective, "needs", ())}

    @property
    def adamw(self) -> dict[str, Any]:
        return {"betas": self.betas, "weight_decay": self.weight_decay, "eps": self.eps}

    def rate(self, step: int) -> float:
        return self.lr * min(1.0, (step + 1) / self.warmup) if self.warmup else self.lr


def learn(
    learner: Local, train: Train, batch: Batch, *, step: int, seed: int, looked: Looked | None = None
) -> dict[str, float]:
    """All updates of one step. Metrics are means over the trained tokens of every pass, so the split does not show;
    "gap/..." compares the engine's log-probs with the learner's at the first pass, before any update, on rows that were
    not grafted. "loss" is the whole loss; an auxiliary's own, before its weight, is "name/loss". `looked` keeps
    what the last pass says of every token."""
    device = learner.machine.device
    if "proximal" in train.needs:
        batch = replace(batch, proximal=said(learner, batch))
    means, gap = _Means(), 0.0
    for first, index in _updates(train, batch, seed):
        mini = batch.rows(index)
        mini = replace(mini, weights=train.weighting(mini))
        beside = {name: replace(mini, weights=extra.weighting(mini)) for name, extra in train.auxiliary.items()}
        losses: dict[str, float] = defaultdict(float)
        known_kl = means.sums["kl_old"], means.counts["kl_old"]
        for part in learner.parts(mini):
            small = mini.rows(part)
            outputs = learner.forward(small, train.needs)
            small = to(small, device)
            loss, metrics = train.objective(outputs, small)
            total = (loss * small.weights).sum()
            for name, extra in train.auxiliary.items():
                added, told = _added(name, extra, outputs, to(beside[name].rows(part), device))
                total = total + extra.weight * added
                losses[f"{name}/loss"] += added.item()
                metrics = {**metrics, **told}
            if looked is not None and outputs.logprobs.requires_grad:
                outputs.logprobs.retain_grad()
            total.backward()
            if looked is not None:
                looked.see([index[i] for i in part], outputs, small, metrics)
            losses["loss"] += total.item()
            for name, value in {"entropy": outputs.entropy, **metrics}.items():
                means.tell(name, value, small)
            if first:
                known = small.trained & (small.logprobs != 0)  # 0: imitated, sampled by nobody
                if small.grafted is not None:
                    known &= ~small.grafted[:, None]  # sampled in another context, so they differ by right
                apart = (outputs.logprobs - small.logprobs).detach().abs()[known]
                means.add("gap/mean", apart)
                gap = max(gap, float(apart.max()) if len(apart) else 0.0)
        if train.most_kl is not None and _beyond(means, known_kl, train.most_kl):
            learner.drop()
            break
        for name, value in {**losses, **learner.update(train.rate(step), train.clip_norm)}.items():
            means.add(name, torch.tensor([value], dtype=torch.float64))
    updates = {name: means.sums[name] for name in ("updates", "updates_dropped")}
    return {**means.out(), **updates, "gap/max": gap, "lr": train.rate(step)}


def _updates(train: Train, batch: Batch, seed: int) -> Iterator[tuple[bool, list[int]]]:
    """(whether it is the first, its rows) of every optimizer step on a batch."""
    for epoch in range(int(train.epochs)):
        for number, index in enumerate(minibatches(batch, int(train.minibatches), stream(seed, "minibatch", epoch))):
            yield epoch == number == 0, index


class _Means:
    """The mean of everything that was added under a name."""

    def __init__(self) -> None:
        self.sums: dict[str, float] = defaultdict(float)
        self.counts: dict[str, int] = defaultdict(int)

    def add(self, name: str, values: torch.Tensor) -> None:
        self.sums[name] += float(values.sum())
        self.counts[name] += len(values)

    def tell(self, name: str, values: torch.Tensor, batch: Batch) -> None:
        """A metric's values on trained tokens; NaN: it does not speak of this token."""
        spoken = values.detach()[batch.trained]
        self.add(name, spoken[~spoken.isnan()])

    def out(self) -> dict[str, float]:
        return {name: value / self.counts[name] for name, value in self.sums.items() if self.counts[name]}


def _beyond(means: _Means, known: tuple[float, int], most: float) -> bool:
    """Whether what was added under "kl_old" since its sum and count were `known` has a mean above `most`."""
    total, count = means.sums["kl_old"] - known[0], means.counts["kl_old"] - known[1]
    if not means.counts["kl_old"]:
        raise ValueError('Train.most_kl looks at the metric "kl_old", which the objective does not measure; use Clip')
    return bool(count) and total / count > most


def _added(name: str, extra: Auxiliary, outputs: Outputs, small: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """sum(loss * weights) of an auxiliary loss, and its metrics, which speak only of tokens that it weighs."""
    loss, metrics = extra.objective(outputs, small)
    silent = small.weights == 0
    told = {f"{name}/{key}": value.masked_fill(silent, math.nan) for key, value in metrics.items()}
    return (loss * small.weights).sum(), told


@torch.no_grad()
def said(learner: Local, batch: Batch, what: Literal["logprobs", "values"] = "logprobs") -> torch.Tensor:
    """[B, T]: the learner's own log-probs or values of the trained tokens, as it is now; 0 elsewhere."""
    out = torch.zeros_like(batch.logprobs)
    for part in learner.parts(batch):
        values = getattr(learner.forward(batch.rows(part), {what}), what)
        out[part, : values.shape[1]] = values.to(out.device)
    return out


@torch.no_grad()
def measured(learner: Local, train: Train, batch: Batch) -> dict[str, float]:
    """What `learn` would tell of a batch, with nothing learned: "loss", without auxiliary losses, and the objective's
    metrics."""
    batch = replace(batch, weights=train.weighting(batch))
    if "proximal" in train.needs:
        batch = replace(batch, proximal=said(learner, batch))
    means, total = _Means(), 0.0
    for part in learner.parts(batch):
        small = batch.rows(part)
        outputs, small = learner.forward(small, train.needs), to(small, learner.machine.device)
        loss, metrics = train.objective(outputs, small)
        total += float((loss * small.weights).sum())
        for name, value in metrics.items():
            means.tell(name, value, small)
    return {**means.out(), "loss": total}


def to(batch: Batch, device: str) -> Batch:
    """The batch on another device; the same object where it is there already."""
    if batch.tokens.device.type == torch.device(device).type:
        return batch
    moved = {k: v.to(device) for k, v in batch.__dict__.items() if isinstance(v, torch.Tensor)}
    named = {k: {name: v.to(device) for name, v in getattr(batch, k).items()} for k in ("tracks", "terms")}
    return replace(batch, **moved, **named)
