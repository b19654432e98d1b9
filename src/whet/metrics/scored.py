"""What one step's scored groups say: the training metrics of a run's log."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import get_args

from whet.types import Scored, Stop, sampled_count, summed

_WORDS = ("right", "wrong", "unparseable", "timed out", "crashed")


def training_metrics(scored_P: Sequence[Scored]) -> dict[str, float]:
    """Of all attempts of all groups; every share lies in [0, 1]. Texts to imitate, which nobody sampled, are none:

    attempts, groups      counts
    attempts/<name>       attempts in groups of that name, where it is not "direct": "guided", "failed"
    reward/mean, std      mean reward per attempt (summed over tokens); mean over groups of the std within a group
    reward/<term>         mean of each term before weights (a term named "mean" or "std" is not shown)
    right/correct         share of attempts where the term "correct" is 1 or more
    outcome/<word>        share of the verifiers' verdicts; only where one spoke
    outcome/<term>/<word> share of a term's own words, where it says others than verifiers do (a judge: "unreadable")
    outcome/failed        share of attempts without a verdict (NaN): they are in no mean of rewards
    groups/mixed          share of groups whose rewards differ: only these teach a group-relative advantage
    groups/all_right, all_wrong    all verdicts of the group right, none right; without verifiers rewards >= 1, <= 0
    length/mean, max      sampled tokens per attempt        length/limit_share    share that was cut off at a limit
    stop/<word>           share of attempts that ended so ("stop/open": never ended)

    NaN-aware: what has no known value at all is NaN. No attempts give {}.
    """
    scored_P = [scored for scored in scored_P if not _shown(scored)]
    if not scored_P:
        return {}
    rewards_P = [_rewards(scored) for scored in scored_P]
    attempts = [reward for rewards in rewards_P for reward in rewards]
    trajectories = [trajectory for scored in scored_P for trajectory in scored.group.trajectories]
    lengths = [sampled_count(trajectory) for trajectory in trajectories]
    stops = Counter(trajectory.stop or "open" for trajectory in trajectories)
    metrics = {"attempts": float(len(attempts)), "groups": float(len(scored_P))}
    kinds = Counter(scored.group.name for scored in scored_P for _ in scored.group.trajectories)
    metrics |= {f"attempts/{name}": float(count) for name, count in sorted(kinds.items()) if name != "direct"}
    metrics |= {f"reward/{name}": _mean(values) for name, values in _terms(scored_P)}
    for known in (values for name, values in _terms(scored_P) if name == "correct"):
        metrics["right/correct"] = _mean(value if math.isnan(value) else float(value >= 1) for value in known)
    metrics |= {"reward/mean": _mean(attempts), "reward/std": _mean(_std(rewards) for rewards in rewards_P)}
    metrics |= _outcomes(scored_P)
    metrics["outcome/failed"] = _mean(float(math.isnan(reward)) for reward in attempts)
    metrics |= _groups(scored_P, rewards_P)
    metrics |= {"length/mean": _mean(lengths), "length/max": float(max(lengths, default=0))}
    metrics["length/limit_share"] = stops["length"] / max(len(trajectories), 1)
    words = [word or "open" for word in get_args(Stop)]
    return metrics | {f"stop/{word}": stops[word] / max(len(trajectories), 1) for word in words}


def _shown(scored: Scored) -> bool:
    """Whether a group has only texts to imitate: tokens that are trained, none that was sampled."""
    rows = [row for trajectory in scored.group.trajectories for row in trajectory.rows]
    return any(bool(row.trained.any()) for row in rows) and not any(bool(row.sampled.any()) for row in rows)


def _rewards(scored: Scored) -> list[float]:
    """[G]: a trajectory's reward is the sum over its tokens, NaN if any is."""
    return summed(scored.rewards).tolist()


def _terms(scored_P: Sequence[Scored]) -> Iterator[tuple[str, list[float]]]:
    names = dict.fromkeys(name for scored in scored_P for name in scored.terms)
    for name in names:
        yield name, [float(x) for scored in scored_P if name in scored.terms for x in scored.terms[name]]


def _outcomes(scored_P: Sequence[Scored]) -> dict[str, float]:
    spoken = [(name, word) for scored in scored_P for name, words in scored.outcomes.items() for word in words]
    said = [word for _, word in spoken if word in (*_WORDS, "failed")]
    counts = Counter(said)
    named = dict.fromkeys((*_WORDS, *sorted(counts))) if said else {}
    own = Counter((name, word) for name, word in spoken if word not in (*_WORDS, "failed"))
    totals = Counter(name for name, _ in spoken)
    shares = {f"outcome/{name}/{word}": count / totals[name] for (name, word), count in sorted(own.items())}
    return {f"outcome/{word}": counts[word] / len(said) for word in named} | shares


def _groups(scored_P: Sequence[Scored], rewards_P: list[list[float]]) -> dict[str, float]:
    mixed, right, wrong = [], [], []
    for scored, rewards in zip(scored_P, rewards_P, strict=True):
        known = [reward for reward in rewards if not math.isnan(reward)]
        mixed.append(bool(known) and max(known) != min(known))
        verdicts = [part for part in scored.outcomes.values() if "parsed" not in part]  # which says nothing of right
        words = [word for part in verdicts for word in part if word in _WORDS]
        right.append(all(word == "right" for word in words) if words else bool(known) and min(known) >= 1)
        wrong.append("right" not in words if words else bool(known) and max(known) <= 0)
    return {"groups/mixed": _mean(mixed), "groups/all_right": _mean(right), "groups/all_wrong": _mean(wrong)}


def _mean(values: Iterable[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return math.fsum(known) / len(known) if known else math.nan


def _std(values: Iterable[float]) -> float:
    """Population standard deviation; NaN for fewer than two known values."""
    known = [value for value in values if not math.isnan(value)]
    middle = _mean(known)
    return math.sqrt(_mean((value - middle) ** 2 for value in known)) if len(known) > 1 else math.nan
