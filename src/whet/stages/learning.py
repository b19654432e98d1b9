"""How a model learns from a batch: mini-batches -> micro-batches -> forward, objective, backward, step."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from whet.batching import microbatches, minibatches
from whet.learners.local import Local
from whet.randomness import stream
from whet.schedule import Count, Number
from whet.types import Batch, Objective, Weighting
from whet.weightings.token_mean import TokenMean


@dataclass(frozen=True)
class Train:
    """How one model is trained within a stage."""

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
    rows: str = ""  # whose rows it learns from; "" means its own. A critic learns from the policy's.

    def __post_init__(self) -> None:
        for name in ("epochs", "minibatches"):
            value = getattr(self, name)
            if isinstance(value, int) and value < 1:
                raise ValueError(f"Train.{name} must be at least 1, got {value}")

    @property
    def adamw(self) -> dict[str, Any]:
        return {"betas": self.betas, "weight_decay": self.weight_decay, "eps": self.eps}

    def rate(self, step: int) -> float:
        return self.lr * min(1.0, (step + 1) / self.warmup) if self.warmup else self.lr


def learn(learner: Local, train: Train, batch: Batch, *, step: int, seed: int) -> dict[str, float]:
    """All updates of one step. Metrics are means over the trained tokens of every pass, so the split does not show;
    "gap/..." compares the engine's log-probs with the learner's at the first pass, before any update."""
    needs = set(getattr(train.objective, "needs", ()))
    micro = learner.machine.micro_tokens
    if "proximal" in needs:
        batch = replace(batch, proximal=_logprobs(learner, batch, micro))
    sums: dict[str, float] = defaultdict(float)
    counts: dict[str, int] = defaultdict(int)
    gap = 0.0
    for epoch in range(int(train.epochs)):
        for number, index in enumerate(minibatches(batch, int(train.minibatches), stream(seed, "minibatch", epoch))):
            mini = batch.rows(index)
            mini = replace(mini, weights=train.weighting(mini))
            first = epoch == number == 0
            for part in microbatches(mini, micro):
                small = mini.rows(part)
                outputs = learner.forward(small, needs)
                small = to(small, learner.machine.device)
                loss, metrics = train.objective(outputs, small)
                total = (loss * small.weights).sum()
                total.backward()
                sums["loss"] += total.item()
                here = small.trained
                told = {"entropy": outputs.entropy, **metrics}
                if first:
                    known = here & (small.logprobs != 0)  # 0: imitated, sampled by nobody
                    apart = (outputs.logprobs - small.logprobs).detach().abs()[known]
                    sums["gap/mean"] += float(apart.sum())
                    counts["gap/mean"] += len(apart)
                    gap = max(gap, float(apart.max()) if len(apart) else 0.0)
                for name, value in told.items():
                    spoken = value.detach()[here]
                    spoken = spoken[~spoken.isnan()]  # NaN: the metric does not speak of this token
                    sums[name] += float(spoken.sum())
                    counts[name] += len(spoken)
            for name, value in learner.update(train.rate(step), train.clip_norm).items():
                sums[name] += value
                counts[name] += 1
            counts["loss"] += 1
    for name in ("updates", "updates_dropped"):
        counts[name] = 1
    out = {name: value / counts[name] for name, value in sums.items() if counts[name]}
    return {**out, "gap/max": gap, "lr": train.rate(step)}


@torch.no_grad()
def _logprobs(learner: Local, batch: Batch, micro: int) -> torch.Tensor:
    """[B, T]: the learner's own log-probs, before this step's first update."""
    out = torch.zeros_like(batch.logprobs)
    for part in microbatches(batch, micro):
        logprobs = learner.forward(batch.rows(part)).logprobs
        out[part, : logprobs.shape[1]] = logprobs.to(out.device)
    return out


def to(batch: Batch, device: str) -> Batch:
    """The batch on another device; the same object where it is there already."""
    if batch.tokens.device.type == torch.device(device).type:
        return batch
    moved = {k: v.to(device) for k, v in batch.__dict__.items() if isinstance(v, torch.Tensor)}
    named = {k: {name: v.to(device) for name, v in getattr(batch, k).items()} for k in ("tracks", "terms")}
    return replace(batch, **moved, **named)
