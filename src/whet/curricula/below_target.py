"""More from sources whose rewards are furthest below a target."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from whet.curricula._sources import by_source, draw, names, spoken, told
from whet.curricula.uniform import Uniform
from whet.schedule import Number
from whet.types import Curriculum, Problem, Scored, Task

_DECAYS = {"harmonic": lambda age: 1 / (1 + age), "geometric": lambda age: 0.5**age, "none": lambda age: 1.0}


@dataclass(frozen=True)
class BelowTarget:
    """For every problem of a draw a source d with probability

        w_d = u_d / sum u,    u_d = exp((v_d + eps) / tau),    v_d = max(0, target - m_d)

    and then a problem of it, by `items`. m_d is what the term `term`, a correctness clipped to 0 .. 1, was of late, and
    is made anew after every `every` steps:

    - "smoothed": m_d = alpha * h_d + (1 - alpha) * the mean since the last time, h_d being m_d as it was; the mean
      alone where h_d is missing or 0.
    - "decayed": the mean over the values of the last `window` steps, each times its step's decay: 1, 1/2, 1/3, ... from
      the newest backwards ("harmonic"), 1, 1/2, 1/4, ... ("geometric") or 1 ("none"). The target is then
      target * the mean of those factors, so that a source that is always solved just reaches it.

    Until the first time all sources are alike, and they are again once all have reached the target; eps cancels. A
    source that was not played keeps its m_d; one that never was counts as 0 (our choices). An unsolvable source would
    get most of the draws for ever: none gets more than `cap`, what is over goes to the others in proportion (ours).

    Source: domain-aware dynamic sampling of RuleReasoner (Liu et al. 2025): the paper's form is "smoothed", its launch
    script's "decayed". Raises ValueError for an unknown form or decay, numbers out of range, a cap that can not hold, a
    task without sources, and a problem without one.
    """

    items: Curriculum = field(default_factory=Uniform)
    form: Literal["smoothed", "decayed"] = "smoothed"
    target: Number = 1.0
    tau: Number = 0.3
    eps: Number = 0.1
    alpha: Number = 0.5  # of "smoothed"
    window: int = 4  # steps, of "decayed"
    decay: Literal["harmonic", "geometric", "none"] = "harmonic"  # of "decayed"
    every: int = 8  # steps
    cap: Number = 1.0
    term: str = "correct"
    state: dict[str, Any] = field(
        default_factory=dict, compare=False, repr=False
    )  # "steps", "batches", "means", "share"

    def __post_init__(self) -> None:
        if self.form not in ("smoothed", "decayed") or self.decay not in _DECAYS:
            raise ValueError(
                f'BelowTarget.form is "smoothed" or "decayed" and .decay one of {sorted(_DECAYS)}, '
                f"got {self.form!r} and {self.decay!r}"
            )
        if self.window < 1 or self.every < 1:
            raise ValueError(f"BelowTarget.window and .every must be 1 step or more: {self.window} and {self.every}")
        if isinstance(self.tau, int | float) and not self.tau > 0:
            raise ValueError(f"BelowTarget.tau must be above 0, got {self.tau}")
        if isinstance(self.alpha, int | float) and not 0 <= self.alpha <= 1:
            raise ValueError(f"BelowTarget.alpha must lie in 0 .. 1, got {self.alpha}")
        if isinstance(self.cap, int | float) and not 0 < self.cap <= 1:
            raise ValueError(f"BelowTarget.cap is a share of the draws above 0 and at most 1, got {self.cap}")

    def draw(self, task: Task, count: int, seed: int) -> list[Problem]:
        return draw(task, self.odds(names(task, self)), self.items, count, seed)

    def observe(self, step: int, scored_P: list[Scored], metrics: Mapping[str, float]) -> None:
        played = {
            name: [x for scored in groups for x in spoken(scored, self.term, self).clamp(0, 1).tolist()]
            for name, groups in by_source(scored_P, self).items()
        }
        kept = self.window if self.form == "decayed" else self.every
        self.state["batches"] = [*self.state.get("batches", []), played][-kept:]
        self.state["steps"] = self.state.get("steps", 0) + 1
        if self.state["steps"] % self.every == 0:
            self.state["means"] = {**self.state.get("means", {}), **self._means()}
            if self.form == "decayed":
                factors = self._factors()
                self.state["share"] = sum(factors) / len(factors)
            else:
                self.state["batches"] = []

    def told(self, task: Task) -> dict[str, float]:
        """P (the page's w) and v of each source."""
        every = names(task, self)
        return told({"P": self.odds(every), "v": self.gaps(every)}, self.items, task)

    def odds(self, sources: Sequence[str]) -> dict[str, float]:
        """{source: w}"""
        raised = {name: math.exp((v + float(self.eps)) / float(self.tau)) for name, v in self.gaps(sources).items()}
        return self._capped({name: u / sum(raised.values()) for name, u in raised.items()})

    def gaps(self, sources: Sequence[str]) -> dict[str, float]:
        """{source: v}"""
        if "means" not in self.state:
            return dict.fromkeys(sources, 0.0)
        target = float(self.target) * self.state.get("share", 1.0)
        return {name: max(0.0, target - self.state["means"].get(name, 0.0)) for name in sources}

    def _means(self) -> dict[str, float]:
        """{source: m} of the sources that were played."""
        factors = self._factors() if self.form == "decayed" else [1.0] * len(self.state["batches"])
        values: dict[str, list[float]] = {}
        for factor, batch in zip(factors, self.state["batches"], strict=True):
            for name, of in batch.items():
                values.setdefault(name, []).extend(factor * x for x in of)
        means = {name: math.fsum(of) / len(of) for name, of in values.items() if of}
        if self.form == "decayed":
            return means
        held, alpha = self.state.get("means", {}), float(self.alpha)
        return {name: alpha * held[name] + (1 - alpha) * m if held.get(name) else m for name, m in means.items()}

    def _factors(self) -> list[float]:
        """The decay of each step that is held, the oldest first."""
        return [_DECAYS[self.decay](age) for age in reversed(range(len(self.state["batches"])))]

    def _capped(self, odds: dict[str, float]) -> dict[str, float]:
        cap = float(self.cap)
        if cap * len(odds) < 1 - 1e-9:
            raise ValueError(f"BelowTarget.cap: {len(odds)} sources with at most {cap} each make no whole; raise it")
        full: set[str] = set()
        while over := {name for name, w in odds.items() if w > cap + 1e-9} - full:
            full |= over
            rest = sum(w for name, w in odds.items() if name not in full)
            share = (1 - cap * len(full)) / rest if rest else 0.0
            odds = {name: cap if name in full else w * share for name, w in odds.items()}
        return odds
