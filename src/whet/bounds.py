"""Claims about one arm alone: a measure of it lies above or below a number that was fixed beforehand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from whet.claims import Better, Finding, Table, Within
from whet.metrics.intervals import Difference
from whet.metrics.measures import Measure

_NOTHING = "\0"  # the name of an arm that is 0 everywhere; no recipe can have it


@dataclass(frozen=True)
class Above:
    """mean(arm) > value."""

    arm: str
    metric: Measure
    value: float

    def __post_init__(self) -> None:
        _check(self)

    def arms(self) -> Sequence[str]:
        return (self.arm,)

    def measures(self) -> Sequence[Measure]:
        return (self.metric,)

    def judge(self, table: Table) -> list[Finding]:
        claim = Better(self.arm, than=_NOTHING, metric=self.metric, margin=self.value)
        (found,) = claim.judge(_beside_nothing(table, self.arm, self.metric.name))
        return [replace(found, statement=f"{self.arm} is above {self.value:g} in {self.metric.name}")]


@dataclass(frozen=True)
class Below:
    """mean(arm) < value."""

    arm: str
    metric: Measure
    value: float

    def __post_init__(self) -> None:
        _check(self)
        if not self.value > 0:
            raise ValueError(f"Below.value must be above 0, got {self.value}")

    def arms(self) -> Sequence[str]:
        return (self.arm,)

    def measures(self) -> Sequence[Measure]:
        return (self.metric,)

    def judge(self, table: Table) -> list[Finding]:
        claim = Within(_NOTHING, of=self.arm, metric=self.metric, margin=self.value)  # 0 - arm > -value
        (found,) = claim.judge(_beside_nothing(table, self.arm, self.metric.name))
        less = found.difference
        value = Difference(-less.value, -less.high, -less.low, less.p)
        statement = f"{self.arm} is below {self.value:g} in {self.metric.name}"
        return [replace(found, statement=statement, difference=value, threshold=self.value)]


def _beside_nothing(table: Table, arm: str, name: str) -> Table:
    values = table[arm][name]
    return {arm: {name: values}, _NOTHING: {name: np.zeros_like(values)}}


def _check(claim: Above | Below) -> None:
    if not (claim.value >= 0 and math.isfinite(claim.value)):
        raise ValueError(f"{type(claim).__name__}.value must be 0 or more, got {claim.value}")
