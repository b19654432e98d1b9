"""Gradients of one batch, computed in each of the learner's ways."""

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from helpers.examples import group, scored
from whet.batching import collate
from whet.learners.local import Local
from whet.machines.profile import Machine
from whet.models.lm import LM
from whet.objectives.clip import Clip
from whet.objectives.with_entropy import WithEntropy
from whet.stages.learning import Train, to
from whet.types import Batch, Credit, Trajectory, tokens_in

GRPO = Train(WithEntropy(Clip(), coef=0.01), lr=1e-3, clip_norm=0.0)


def learner(lm: LM, way: str, train: Train = GRPO, **machine: Any) -> Local:
    """One that computes in the given way: "padded", "packed" or "fused"."""
    who = Local(lm, Machine(**machine), **train.adamw)
    if way == "fused":
        assert who.fused is not None
        return who
    who.fused = None
    lm.__dict__["packs"] = way == "packed"
    return who


def gradients(lm: LM, way: str, batch: Batch, **machine: Any) -> tuple[dict[str, Tensor], Tensor]:
    """Those of one loss, and the log-probs."""
    who = learner(lm, way, **machine)
    batch = replace(batch, weights=GRPO.weighting(batch))
    outputs = who.forward(batch, GRPO.needs)
    batch = to(batch, who.machine.device)
    loss, _ = GRPO.objective(outputs, batch)
    (loss * batch.weights).sum().backward()
    found = {name: p.grad.clone() for name, p in lm.named_parameters() if p.grad is not None}
    lm.zero_grad()
    del lm.__dict__["packs"]
    return found, outputs.logprobs.detach()


def apart(a: dict[str, Tensor], b: dict[str, Tensor]) -> float:
    """|a - b| / |b| of the whole gradient."""
    assert a.keys() == b.keys() and a
    square = sum(float((a[k] - b[k]).double().pow(2).sum()) for k in a)
    return math.sqrt(square / sum(float(x.double().pow(2).sum()) for x in b.values()))


def collated(attempts: list[Trajectory], each: int) -> Batch:
    """Groups of `each`, every token with an advantage of its own."""
    groups = [group(*attempts[i : i + each], slot=i // each) for i in range(0, len(attempts), each)]
    rng = torch.Generator().manual_seed(0)
    credit = [[torch.randn(tokens_in(t), generator=rng) for t in g.trajectories] for g in groups]
    return collate([scored(g, [1.0] * each) for g in groups], Credit(credit))
