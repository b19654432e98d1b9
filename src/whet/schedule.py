"""Any number may be a schedule: `at(tree, step)` is the same tree with numbers in their place."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Protocol, TypeVar, runtime_checkable

# How a field says "a number, or a schedule that becomes one".
Number = Annotated[Any, float]
Count = Annotated[Any, int]

T = TypeVar("T")


@runtime_checkable
class Schedule(Protocol):
    """Anything that gives a number for a step. Components never see one: `at` has put the number in its place."""

    def value(self, step: int) -> float: ...


@dataclass(frozen=True)
class Linear:
    """start + (stop - start) * min(step / steps, 1)."""

    start: float
    stop: float
    steps: int

    def __post_init__(self) -> None:
        _positive("Linear", self.steps)

    def value(self, step: int) -> float:
        return self.start + (self.stop - self.start) * min(max(step, 0) / self.steps, 1.0)


@dataclass(frozen=True)
class Cosine:
    """stop + (start - stop) * (1 + cos(pi * min(step / steps, 1))) / 2."""

    start: float
    stop: float
    steps: int

    def __post_init__(self) -> None:
        _positive("Cosine", self.steps)

    def value(self, step: int) -> float:
        share = min(max(step, 0) / self.steps, 1.0)
        return self.stop + (self.start - self.stop) * (1 + math.cos(math.pi * share)) / 2


@dataclass(frozen=True)
class Steps:
    """Piecewise constant: `first` until the first boundary, then the value of the last boundary reached.
    `Steps(0.0, {100: 0.5})` is 0 before step 100 and 0.5 from it on."""

    first: float
    then: Mapping[int, float]

    def value(self, step: int) -> float:
        reached = [boundary for boundary in self.then if step >= boundary]
        return self.then[max(reached)] if reached else self.first


def _positive(name: str, steps: int) -> None:
    if steps < 1:
        raise ValueError(f"{name}.steps must be at least 1, got {steps}")


def at(tree: T, step: int, states: Mapping[int, Any] | None = None) -> T:
    """`tree` with every schedule replaced by its value at `step`. Parts without schedules are the very same objects,
    and a part that is rebuilt keeps the same `state` object, unless `states` has another for it by `id(part.state)`."""
    return _put(tree, step, states or {})


def _put(node: Any, step: int, states: Mapping[int, Any]) -> Any:
    if isinstance(node, (int, float, str)) or node is None:  # most leaves, before what takes longer to ask
        return node
    if isinstance(node, Schedule) and not isinstance(node, type):
        return node.value(step)
    if dataclasses.is_dataclass(node) and not isinstance(node, type):
        old = {f.name: getattr(node, f.name) for f in dataclasses.fields(node) if f.init}
        new = {name: value if name == "state" else _put(value, step, states) for name, value in old.items()}
        if "state" in old:
            new["state"] = states.get(id(old["state"]), old["state"])
        changed = {name: value for name, value in new.items() if value is not old[name]}
        return dataclasses.replace(node, **changed) if changed else node
    if isinstance(node, Mapping):
        new = {key: _put(value, step, states) for key, value in node.items()}
        return node if all(new[key] is node[key] for key in new) else new
    if isinstance(node, (list, tuple)) and not hasattr(node, "_fields"):
        new = [_put(value, step, states) for value in node]
        return node if all(a is b for a, b in zip(new, node, strict=True)) else type(node)(new)
    return node
