"""Any number may be a schedule: `at(tree, step)` is the same tree with numbers in their place.

A schedule may also learn from what it sees: like any part that does, it then keeps `state` and an `observe`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
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


@dataclass(frozen=True)
class Proportional:
    """A coefficient that keeps a metric m near `target`: after every step

        x <- x * (1 + gain * e),   e = clip((m - target) / target, -limit, limit),   m = sign * metrics[metric],

    from x = `start` on. The adaptive KL coefficient of Ziegler et al. 2019 (arXiv 1909.08593), section 2.2: there
    `limit` is 0.2 and `gain` 0.1. `sign` -1 is for a metric that is a penalty: `reward/kl`, the mean of the term "kl",
    is minus the KL. Without a target, or in a step that has no such number, x stays.

    Raises ValueError for a target that is not above 0.
    """

    start: float
    target: float | None
    metric: str = "reward/kl"
    sign: float = -1.0
    gain: float = 0.1
    limit: float = 0.2
    state: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.target is not None and not self.target > 0:
            raise ValueError(
                f"Proportional.target must be above 0, or None for a coefficient that stays: {self.target}"
            )

    def value(self, step: int) -> float:
        return float(self.state.get("value", self.start))

    def observe(self, step: int, scored_P: Any, metrics: Mapping[str, float]) -> None:
        measured = self.sign * metrics.get(self.metric, math.nan)
        if self.target is not None and math.isfinite(measured):
            error = min(max((measured - self.target) / self.target, -self.limit), self.limit)
            self.state["value"] = self.value(step) * (1 + self.gain * error)


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
        state = getattr(node, "state", None)
        if id(state) in states:
            node = dataclasses.replace(node, state=states[id(state)])  # type: ignore[type-var]
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
