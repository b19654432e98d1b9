"""What goes wrong while a run works, told from the metrics of its steps."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Line = Mapping[str, Any]

# What an alert looks at; of the steps before, nothing else is kept.
WATCHED = (
    *("reward/std", "groups/mixed", "groups/all_right", "groups/all_wrong", "length/limit_share", "entropy"),
    *("kl_old", "kl", "gap/mean", "outcome/timed out", "hidden/gap"),
)


@dataclass(frozen=True)
class Alert:
    """One condition that holds in a step: its name, and a sentence with the likely cause."""

    name: str
    message: str


@dataclass(frozen=True)
class Alerts:
    """Conditions on the metrics of a step and of those before it in the same stage; each with its threshold:

    reward std         no group has rewards that differ, in `flat` steps one after another
    length             length/limit_share >= limit_share
    entropy            entropy < entropy_share times its mean over the first `first` steps
    KL                 kl_old, or the metric kl: above kl_least nats and above kl_times its median over `window` steps
    gap                gap/mean > gap nats, where play and learning are of one version
    staleness          gap/mean > stale_gap nats, where play is a version or more behind
    time-outs          outcome/timed out > time_outs
    hidden verifier    hidden/gap > hidden_gap

    The thresholds are ours. A threshold of infinity (`limit_share` above 1, `entropy_share` 0) turns its alert off. A
    metric that a step does not have, or that is NaN, alerts nobody. An alert stands in the line of every step in which
    it holds, and is said aloud (`new`) where it did not hold in any of the `quiet` steps before.

    Raises ValueError for a window, `first`, `flat` or `quiet` below 1.
    """

    flat: int = 3
    limit_share: float = 0.5
    entropy_share: float = 0.1
    first: int = 5
    kl_times: float = 10.0
    kl_least: float = 0.02
    window: int = 20
    gap: float = 0.05
    stale_gap: float = 0.3
    time_outs: float = 0.05
    hidden_gap: float = 0.2
    quiet: int = 20

    def __post_init__(self) -> None:
        for name in ("flat", "first", "window", "quiet"):
            if getattr(self, name) < 1:
                raise ValueError(f"Alerts.{name} must be at least 1 step, got {getattr(self, name)}")

    def __call__(self, past: Sequence[Line], line: Line, behind: int = 0) -> list[Alert]:
        """The alerts of a step. `past`: the lines of the stage's steps before it; `behind`: how many versions the
        weights that played it are older than those that learn from it."""
        found = (
            *(*self._flat(past, line), *self._length(line), *self._entropy(past, line), *self._kl(past, line)),
            *(*self._gap(line, behind), *self._verifiers(line)),
        )
        return list(found)

    def new(self, past: Sequence[Line], alerts: Sequence[Alert]) -> list[Alert]:
        """Those that were quiet for a while: in no line of the last `quiet`."""
        lately = {alert["name"] for line in past[-self.quiet :] for alert in line.get("alerts", ())}
        return [alert for alert in alerts if alert.name not in lately]

    # ------------------------------------------------------------------------------------------------ one by one

    def _flat(self, past: Sequence[Line], line: Line) -> Iterator[Alert]:
        last = [*past[-(self.flat - 1) :], line] if self.flat > 1 else [line]
        if len(last) == self.flat and all(
            _of(one, "groups/mixed") == 0 and _of(one, "reward/std") == 0 for one in last
        ):
            right, wrong = _of(line, "groups/all_right"), _of(line, "groups/all_wrong")
            why = "the reward gives the same to every attempt of a group"
            if wrong > 0.5:
                why = "no attempt is right: the problems are too hard, or the verifier can not read the answers"
            elif right > 0.5:
                why = "every attempt is right: the problems are too easy by now"
            yield Alert("reward std", f"no group has rewards that differ, so nothing is learned; {why}")

    def _length(self, line: Line) -> Iterator[Alert]:
        share = _of(line, "length/limit_share")
        if share >= self.limit_share:
            yield Alert(
                "length",
                f"{share:.0%} of the attempts are cut off at a limit; raise max_tokens, or shape length in the reward",
            )

    def _entropy(self, past: Sequence[Line], line: Line) -> Iterator[Alert]:
        begun = [value for one in past[: self.first] if not math.isnan(value := _of(one, "entropy"))]
        now = _of(line, "entropy")
        if len(begun) == self.first and now < self.entropy_share * statistics.fmean(begun):
            yield Alert(
                "entropy",
                f"entropy has fallen from {statistics.fmean(begun):.3g} to {now:.3g} nats: attempts hardly differ any "
                "more; a lower learning rate, clip-higher or an entropy bonus keep it up",
            )

    def _kl(self, past: Sequence[Line], line: Line) -> Iterator[Alert]:
        for name in ("kl_old", "kl"):
            known = [value for one in past[-self.window :] if not math.isnan(value := _of(one, name))]
            now = _of(line, name)
            usual = statistics.median(known) if len(known) >= self.first else math.nan
            if now > self.kl_least and now > self.kl_times * usual:
                yield Alert(
                    "KL",
                    f"{name} has jumped to {now:.3g} nats from {usual:.3g}: an update went too far; a lower learning "
                    "rate, a smaller clip_norm or fewer epochs would not",
                )

    def _gap(self, line: Line, behind: int) -> Iterator[Alert]:
        gap = _of(line, "gap/mean")
        if not behind and gap > self.gap:
            yield Alert(
                "gap",
                f"engine and learner give a token log-probs {gap:.3g} nats apart: engine, precision or temperature "
                "differ; `whet doctor` looks closer",
            )
        if behind and gap > self.stale_gap:
            yield Alert(
                "staleness",
                f"the weights have moved {gap:.3g} nats a token in the {behind} updates since these attempts were "
                "played; a smaller `ahead`, a lower learning rate or Truncated help",
            )

    def _verifiers(self, line: Line) -> Iterator[Alert]:
        late, gap = _of(line, "outcome/timed out"), _of(line, "hidden/gap")
        if late > self.time_outs:
            yield Alert(
                "time-outs",
                f"{late:.1%} of the verdicts are time-outs, which count as wrong: answers that are made to be slow, or "
                "a deadline that is too short",
            )
        if gap > self.hidden_gap:
            yield Alert(
                "hidden verifier",
                f"the reward is {gap:.2f} above what a verifier says that nobody learns from: the policy has found a "
                "weakness of the reward",
            )


def kept(line: Line) -> dict[str, Any]:
    """What of a step's line later ones look at."""
    return {name: line[name] for name in (*WATCHED, "alerts") if name in line}


def _of(line: Line, name: str) -> float:
    """A metric, NaN where there is none."""
    value = line.get(name)
    return float(value) if isinstance(value, (int, float)) else math.nan
