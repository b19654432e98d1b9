"""What a paper claims, as something that can be judged: arms, a measure, and a margin fixed beforehand.

A claim says that a difference D [seeds, problems] is above a threshold. It is

    reproduced        the 95 % interval of mean(D) lies above the threshold
    not reproduced    the interval lies below it: the difference is on the other side, or shown to be smaller
    inconclusive      otherwise; `seeds` is then how many would settle it if mean and spread stay as they are

A finding that does not `count` is told and changes no verdict.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np

from whet.metrics.intervals import Difference
from whet.metrics.measures import Before, Final, Measure
from whet.metrics.seeds import needed, paired_seeds

Table = Mapping[str, Mapping[str, np.ndarray]]  # {arm: {measure's name: [seeds, problems]}}
Verdict = Literal["reproduced", "not reproduced", "inconclusive"]


@dataclass(frozen=True)
class Finding:
    """One difference and what it says. `seeds`: how many would settle an open question, None where that is not known or
    not needed."""

    statement: str
    measure: str
    difference: Difference
    threshold: float
    verdict: Verdict
    seeds: int | None = None
    counts: bool = True


class Claim(Protocol):
    def arms(self) -> Sequence[str]:
        """Those that are judged, so those that need all seeds."""
        ...

    def measures(self) -> Sequence[Measure]: ...

    def judge(self, table: Table) -> list[Finding]: ...


@dataclass(frozen=True)
class Better:
    """mean(new - than) > margin. With `against`, `than` is measured by that: `Better("new", than="old",
    metric=During(28), against=pass_1)` says that `new` is above the end of `old` after 28 steps already."""

    new: str
    than: str
    metric: Measure
    margin: float = 0.0
    against: Measure | None = None

    def __post_init__(self) -> None:
        _check(self.new, self.than, self.margin)

    def arms(self) -> Sequence[str]:
        return self.new, self.than

    def measures(self) -> Sequence[Measure]:
        return (self.metric,) if self.against is None else (self.metric, self.against)

    def judge(self, table: Table) -> list[Finding]:
        more = f" by more than {self.margin:g}" if self.margin else ""
        other = self.against or self.metric
        told = f"{self.new} is above {self.than} in {self.metric.name}{more}"
        if self.against is not None:
            told = f"{self.new} in {self.metric.name} is above {self.than} in {other.name}{more}"
        before, after = table[self.than][other.name], table[self.new][self.metric.name]
        return [_finding(told, self.metric.name, before, after, self.margin)]


@dataclass(frozen=True)
class Within:
    """mean(new - of) > -margin: `new` may be better, or worse by less than `margin`."""

    new: str
    of: str
    metric: Measure
    margin: float

    def __post_init__(self) -> None:
        _check(self.new, self.of, self.margin)
        if not self.margin > 0:
            raise ValueError(f"Within.margin must be above 0, got {self.margin}; without a margin use Better")

    def arms(self) -> Sequence[str]:
        return self.new, self.of

    def measures(self) -> Sequence[Measure]:
        return (self.metric,)

    def judge(self, table: Table) -> list[Finding]:
        told = f"{self.new} is less than {self.margin:g} below {self.of} in {self.metric.name}"
        name = self.metric.name
        return [_finding(told, name, table[self.of][name], table[self.new][name], -self.margin)]


@dataclass(frozen=True)
class Reaches:
    """mean((new - start) - share * (of - start)) > 0: `new` closes at least `share` of the gap between the start and
    `of`. `start` is measured before the runs of `of`."""

    new: str
    of: str
    metric: Measure
    share: float
    start: Before = Before()

    def __post_init__(self) -> None:
        _check(self.new, self.of, 0.0)
        if not self.share > 0:
            raise ValueError(f"Reaches.share must be above 0, got {self.share}")

    def arms(self) -> Sequence[str]:
        return self.new, self.of

    def measures(self) -> Sequence[Measure]:
        return self.metric, self.start

    def judge(self, table: Table) -> list[Finding]:
        start = table[self.of][self.start.name]
        wanted = start + self.share * (table[self.of][self.metric.name] - start)
        told = f"{self.new} closes {self.share:.0%} of the gap to {self.of} in {self.metric.name}"
        return [_finding(told, self.metric.name, wanted, table[self.new][self.metric.name], 0.0)]


@dataclass(frozen=True)
class Cheaper:
    """mean(share * than - new) > 0: `new` needs less than `share` of what `than` needs, in a metric that is a cost."""

    new: str
    than: str
    metric: Measure
    share: float = 1.0

    def __post_init__(self) -> None:
        _check(self.new, self.than, 0.0)
        if not self.share > 0:
            raise ValueError(f"Cheaper.share must be above 0, got {self.share}")

    def arms(self) -> Sequence[str]:
        return self.new, self.than

    def measures(self) -> Sequence[Measure]:
        return (self.metric,)

    def judge(self, table: Table) -> list[Finding]:
        name = self.metric.name
        told = f"{self.new} needs less than {self.share:.0%} of {self.than} in {name}"
        return [_finding(told, name, table[self.new][name], self.share * table[self.than][name], 0.0)]


@dataclass(frozen=True)
class Sooner:
    """mean(new at `early` - than at `late`) > 0: `new` has more at `early`, say `During(28)`, than `than` at `late`."""

    new: str
    than: str
    early: Measure
    late: Measure

    def __post_init__(self) -> None:
        _check(self.new, self.than, 0.0)
        if self.early.name == self.late.name:
            raise ValueError(f"Sooner compares two moments, got {self.early.name!r} twice; at one moment use Better")

    def arms(self) -> Sequence[str]:
        return self.new, self.than

    def measures(self) -> Sequence[Measure]:
        return self.early, self.late

    def judge(self, table: Table) -> list[Finding]:
        told = f"{self.new} has more {self.early.name} than {self.than} has {self.late.name}"
        before, after = table[self.than][self.late.name], table[self.new][self.early.name]
        return [_finding(told, self.early.name, before, after, 0.0)]


@dataclass(frozen=True)
class All:
    """Every one of several claims."""

    claims: Sequence[Claim]

    def __post_init__(self) -> None:
        if not self.claims:
            raise ValueError("All needs at least one claim")

    def arms(self) -> Sequence[str]:
        return list(dict.fromkeys(arm for claim in self.claims for arm in claim.arms()))

    def measures(self) -> Sequence[Measure]:
        return list({measure.name: measure for claim in self.claims for measure in claim.measures()}.values())

    def judge(self, table: Table) -> list[Finding]:
        return [finding for claim in self.claims for finding in claim.judge(table)]


@dataclass(frozen=True)
class AtLeast:
    """`count` of several claims, whichever. Those with the best verdicts count, the first among equals; what the others
    found is told."""

    count: int
    claims: Sequence[Claim]

    def __post_init__(self) -> None:
        if not 1 <= self.count <= len(self.claims):
            raise ValueError(f"AtLeast.count must lie in 1 .. {len(self.claims)}, the claims there are: {self.count}")

    def arms(self) -> Sequence[str]:
        return All(self.claims).arms()

    def measures(self) -> Sequence[Measure]:
        return All(self.claims).measures()

    def judge(self, table: Table) -> list[Finding]:
        judged = [claim.judge(table) for claim in self.claims]
        ranked = sorted(range(len(judged)), key=lambda i: -_RANK.index(verdict(judged[i])))
        best = set(ranked[: self.count])
        return [
            replace(finding, counts=finding.counts and i in best)
            for i, findings in enumerate(judged)
            for finding in findings
        ]


def parts(claim: Claim) -> list[Claim]:
    """The single comparisons that a claim is made of."""
    return [part for one in claim.claims for part in parts(one)] if isinstance(claim, (All, AtLeast)) else [claim]


_RANK: tuple[Verdict, ...] = ("not reproduced", "inconclusive", "reproduced")  # the worse first


def verdict(findings: Sequence[Finding]) -> Verdict:
    """Of all findings together: one that fails fails the claim, one that is open leaves it open."""
    said = {finding.verdict for finding in findings if finding.counts}
    return next(word for word in _RANK if word in said)


def _finding(statement: str, measure: str, before: np.ndarray, after: np.ndarray, threshold: float) -> Finding:
    found = paired_seeds(before, after)
    if found.low > threshold:
        return Finding(statement, measure, found, threshold, "reproduced")
    if found.high < threshold:
        return Finding(statement, measure, found, threshold, "not reproduced")
    more = None if math.isnan(found.value) else needed(after - before, threshold)
    return Finding(statement, measure, found, threshold, "inconclusive", more)


def _check(new: str, other: str, margin: float) -> None:
    if new == other:
        raise ValueError(f"a claim compares two different arms, got {new!r} twice")
    if not (margin >= 0 and math.isfinite(margin)):
        raise ValueError(f"a claim's margin must be 0 or more, got {margin}")


__all__ = [
    "All",
    "AtLeast",
    "Before",
    "Better",
    "Cheaper",
    "Claim",
    "Final",
    "Finding",
    "Reaches",
    "Sooner",
    "Within",
    "verdict",
]
