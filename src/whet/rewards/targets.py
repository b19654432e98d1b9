"""Target lengths that follow what the policy can do. They keep state, which is in every checkpoint."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from whet.schedule import Count, Number
from whet.types import Scored, sampled_count

CLASSES: tuple[str, ...] = ("high", "medium", "low")  # of accuracy, so the easiest first
_ROUNDED = 1e-9  # 0.2 * 5 and the like may come out just below a whole number


def class_of(accuracy: float) -> str:
    """ "high" from 2/3 on, "medium" from 1/3 on, else "low"."""
    return "high" if accuracy >= 2 / 3 else "medium" if accuracy >= 1 / 3 else "low"


def coverage(lengths: Sequence[float], grid: Sequence[float]) -> list[float]:
    """The share of `lengths` that are at most l, for each l of the grid; 0 where there are none."""
    return [sum(length <= most for length in lengths) / max(len(lengths), 1) for most in grid]


def shortest_enough(covered: Sequence[float], grid: Sequence[float], attempts: int, longest: float) -> float:
    """The least l of the grid with coverage(l) * attempts >= 1: of so many attempts one at least is expected within l.
    `longest` where there is none."""
    enough = [most for most, share in zip(grid, covered, strict=True) if share * attempts + _ROUNDED >= 1]
    return min(enough, default=longest)


@dataclass(frozen=True)
class TargetByDifficulty:
    """T_c tokens for the class c of a problem, by the share a of its attempts that are right: "high" for a >= 2/3,
    "medium" for a >= 1/3, else "low". Calling it with a gives T_c.

    T_c is `start` for all until `refresh` is given groups of a monitoring set (`callbacks.monitor.Monitor` does that).
    From then on

        T_c = min { l in grid : coverage_c(l) * m_c >= 1 },

    where coverage_c(l) is the share of attempts, right or wrong, at the set's problems of class c that have at most l
    tokens, and m_c a lower bound of how many of a group's `attempts` are right: floor(2/3 attempts) for "high",
    floor(1/3 attempts) for "medium", 1 for "low"; with `rounding` "up", ceil in place of floor. So of the attempts that
    should be right one is expected within T_c. Where no l is long enough, as for a class without a problem (coverage
    0), T_c is the longest attempt of the set.

    Source: LASER-D (Liu et al. 2025, arXiv 2505.15612) and its code. There the classes of the monitoring set hold their
    upper ends, here their lower ones, as in the reward: of 8 attempts no share lies on one. `term` tells right from
    wrong.

    Raises ValueError for a start below 1, an empty grid, or fewer than 3 attempts, which have no lower bound for
    "medium".
    """

    start: Count
    grid: Sequence[int]
    attempts: Count = 8
    rounding: Literal["down", "up"] = "down"
    term: str = "correct"
    state: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        if isinstance(self.start, int | float) and self.start < 1:
            raise ValueError(f"TargetByDifficulty.start must be at least 1 token, got {self.start}")
        if not self.grid or min(self.grid) < 1:
            raise ValueError(f"TargetByDifficulty.grid must be lengths of 1 token or more, got {self.grid}")
        if self.rounding not in ("down", "up"):
            raise ValueError(f'TargetByDifficulty.rounding must be "down" or "up", got {self.rounding!r}')
        if isinstance(self.attempts, int | float) and self.attempts < 3:
            raise ValueError(f"TargetByDifficulty.attempts must be at least 3, got {self.attempts}")

    def __call__(self, accuracy: float) -> float:
        return float(self.state.get(class_of(accuracy), self.start))

    def refresh(self, scored_P: Sequence[Scored]) -> dict[str, float]:
        """Take the targets from groups whose every attempt has a verdict, and tell them by name: "target/high", ...,
        and the share of problems of each class, "monitor/high", ... No groups change nothing."""
        if not scored_P:
            return {}
        lengths: dict[str, list[float]] = {name: [] for name in CLASSES}
        problems = dict.fromkeys(CLASSES, 0)
        for scored in scored_P:
            if self.term not in scored.terms:
                raise ValueError(f"TargetByDifficulty.term is {self.term!r} and the reward has {sorted(scored.terms)}")
            name = class_of(float((scored.terms[self.term] >= 1).double().mean()))
            problems[name] += 1
            lengths[name] += [float(sampled_count(t)) for t in scored.group.trajectories]
        longest = max(max(of, default=0.0) for of in lengths.values())
        bounds = self.lower_bounds()
        self.state.update(
            {
                name: shortest_enough(coverage(of, self.grid), self.grid, bounds[name], longest)
                for name, of in lengths.items()
            }
        )
        shares = {f"monitor/{name}": count / len(scored_P) for name, count in problems.items()}
        return {**{f"target/{name}": float(self.state[name]) for name in CLASSES}, **shares}

    def lower_bounds(self) -> dict[str, int]:
        """m_c: how many attempts of a group are right at least."""
        n, rounded = int(self.attempts), math.floor if self.rounding == "down" else math.ceil
        return {"high": rounded(2 * n / 3), "medium": rounded(n / 3), "low": 1}


@dataclass(frozen=True)
class Shrinking:
    """A target, for any field that takes a schedule: `start` tokens, and

        T <- max(T - by, least)

    whenever the share of attempts longer than T was at most `share` in `patience` steps in a row, counted anew after
    each. A step without attempts does not count.

    Source: the controller by clip ratio of LASER's code. Raises ValueError unless 1 <= least <= start, by > 0, the
    share lies in [0, 1] and patience is 1 or more.
    """

    start: float
    least: float
    by: float
    share: Number = 0.1  # our choice, as is `patience`
    patience: int = 5
    state: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        if not 1 <= self.least <= self.start:
            raise ValueError(f"Shrinking needs 1 <= least <= start, got {self.least} and {self.start}")
        if not self.by > 0 or self.patience < 1:
            raise ValueError(f"Shrinking needs by > 0 and patience >= 1, got {self.by} and {self.patience}")
        if isinstance(self.share, int | float) and not 0 <= self.share <= 1:
            raise ValueError(f"Shrinking.share must lie in [0, 1], got {self.share}")

    def value(self, step: int) -> float:
        return float(self.state.get("target", self.start))

    def observe(self, step: int, scored_P: Sequence[Scored], metrics: Mapping[str, float]) -> None:
        lengths = [sampled_count(t) for scored in scored_P for t in scored.group.trajectories]
        if not lengths:
            return
        target = self.value(step)
        short = sum(length > target for length in lengths) / len(lengths) <= self.share
        row = self.state.get("row", 0) + 1 if short else 0
        if row >= self.patience:
            target, row = max(target - self.by, self.least), 0
        self.state.update(target=target, row=row)


EXAMPLES: list[Any] = []  # these are no terms: they say how long is long
