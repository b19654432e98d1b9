"""How many bytes the models of a run and their optimizers hold."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from whet.types import Scored


def parameter_bytes(models: Iterable[nn.Module]) -> int:
    """Bytes of the parameters of several models. Tied weights, and those that two models share, are counted once."""
    return _bytes({id(p): p for model in models for p in model.parameters()}.values())


def optimizer_bytes(optimizers: Iterable[Optimizer]) -> int:
    """Bytes of what optimizers keep of the gradients so far: of AdamW two numbers for each that learns, and a counter
    for each array. 0 before a first update."""
    return _bytes(
        kept
        for optimizer in optimizers
        for state in optimizer.state.values()
        for kept in state.values()
        if isinstance(kept, Tensor)
    )


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


@dataclass(frozen=True)
class TrainingState:
    """Notes in each step's metrics, in bytes, over all models that this machine holds (policy, critic, reference, ...):

    memory/parameters    `parameter_bytes` of the models, whether they learn or not
    memory/optimizer     `optimizer_bytes` of their optimizers
    memory/state         the sum

    Counted from the arrays and so the same on every machine; the engine's copies, gradients and activations, which any
    algorithm has, are not in it. `Peak("memory/state")` is the measure of a claim about it. A critic that starts as a
    copy of the policy doubles the sum.
    """

    async def __call__(self, run: Any, step: int, scored_P: list[Scored]) -> None:
        parameters = parameter_bytes(run.lms.values())
        optimizer = optimizer_bytes(learner.optimizer for learner in run.learners.values())
        run.note(
            {
                "memory/parameters": float(parameters),
                "memory/optimizer": float(optimizer),
                "memory/state": float(parameters + optimizer),
            }
        )
