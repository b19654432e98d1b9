"""What `whet compare` does: runs or models on the same problems, as plain data.

arms = found(["runs/x/grpo-*", "runs/x/gppo-*"])    # runs that differ in their seed only are one arm
compared(stored(arms))                              # by what the runs measured at their end
compared(played(arms, asked("chain-sum")))          # by asking every model anew
"""

from __future__ import annotations

import asyncio
import glob
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from whet.engines.native import Native
from whet.evaluating import Asked
from whet.files import plain, read_json
from whet.machines.profile import Machine, cpu
from whet.metrics.coverage import coverage
from whet.metrics.crossing import crossing_between
from whet.metrics.evaluation import per_problem
from whet.metrics.seeds import means
from whet.metrics.versus import estimate, holm, versus
from whet.models.pretrained import Pretrained
from whet.report import cell, is_share
from whet.rewards.named import named
from whet.rollouts.sample import Sample
from whet.scoring import Weighted
from whet.stages.evaluate import Evaluate
from whet.types import Decoding

_SEED = re.compile(r"-seed\d+(?=$|-\d+$)")  # "grpo-seed0", and "grpo-seed0-2" where that was there already


@dataclass(frozen=True)
class Member:
    """A run (with its seed) or a model (without)."""

    place: str
    seed: int | None = None

    @property
    def model(self) -> str:
        return self.place if self.seed is None else str(Path(self.place) / "model")


@dataclass(frozen=True)
class Arm:
    """What is compared: a model, or runs that differ in their seed only."""

    name: str
    members: tuple[Member, ...]


@dataclass(frozen=True)
class Side:
    """An arm with what was measured of it: {metric: [S, P]}, rows as in `arm.members`."""

    arm: Arm
    values: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Measured:
    sides: tuple[Side, ...]
    problems: int
    attempts: int
    notes: tuple[str, ...] = ()


# ------------------------------------------------------------------------------------------------- who is compared


def found(words: Sequence[str]) -> list[Arm]:
    """The arms that words name: run folders, folders of runs, patterns of either, model folders, names on the hub.

    Runs of one folder whose names differ in `-seedN` only are one arm. ValueError for a word that names nothing, runs
    that are no seeds of one arm, and fewer than two arms.
    """
    members: dict[Member, None] = {}
    for word in words:
        members |= dict.fromkeys(_members(word))
    groups: dict[tuple[str, ...], list[Member]] = {}
    for member in members:
        groups.setdefault(_key(member), []).append(member)
    arms = [Arm(name, tuple(group)) for name, group in zip(_names(list(groups)), groups.values(), strict=True)]
    for arm in arms:
        _check_seeds(arm)
    if len(arms) < 2:
        inside = f" with {len(arms[0].members)} seeds" if len(arms) == 1 and len(arms[0].members) > 1 else ""
        raise ValueError(
            f"a comparison needs two sides, got only {arms[0].name}{inside}; name another run, arm or model"
        )
    return arms


def _members(word: str) -> list[Member]:
    if glob.has_magic(word) and not Path(word).exists():
        places = sorted(glob.glob(str(Path(word).expanduser())), key=_natural)
        if not places:
            raise ValueError(f"nothing matches {word!r}; give run folders, models, or another pattern")
        return [member for place in places if Path(place).is_dir() for member in _members(place)]
    path = Path(word).expanduser()
    if (path / "recipe.json").exists():
        return [Member(str(path), int(read_json(path / "recipe.json")["seed"]))]
    if path.is_dir() and not (path / "config.json").exists():
        runs = sorted((str(p.parent) for p in path.glob("*/recipe.json")), key=_natural)
        if not runs:
            raise ValueError(f"{word} is no run, no model, and holds no runs; give a folder that `whet run` made")
        return [member for run in runs for member in _members(run)]
    if not path.exists() and (word.startswith((".", "/", "~")) or word.count("/") > 1):
        raise ValueError(f"there is no run or model {word}; give a folder, or a model's name on the hub")
    return [Member(str(path) if path.exists() else word)]


def _natural(place: str) -> list[Any]:
    """seed2 before seed10."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", place)]


def _key(member: Member) -> tuple[str, ...]:
    parts = Path(member.place).resolve().parts if Path(member.place).exists() else tuple(member.place.split("/"))
    return (*parts[:-1], parts[-1] if member.seed is None else _SEED.sub("", parts[-1]))


def _names(keys: Sequence[tuple[str, ...]]) -> list[str]:
    """The shortest ends of the paths that tell them apart."""
    for length in range(1, max(map(len, keys)) + 1):
        names = ["/".join(key[-length:]) for key in keys]
        if len(set(names)) == len(names):
            return names
    return ["/".join(key) for key in keys]


def _check_seeds(arm: Arm) -> None:
    """Members of an arm have seeds of their own, and are otherwise the same."""
    by_seed: dict[int | None, Member] = {}
    for member in arm.members:
        if other := by_seed.get(member.seed):
            raise ValueError(f"{other.place} and {member.place} have the same seed {member.seed}; name one of them")
        by_seed[member.seed] = member
    first = arm.members[0]
    for member in arm.members[1:]:
        told = [read_json(Path(m.place) / "recipe.json") for m in (first, member)]
        if any(told[0].get(part) != told[1].get(part) for part in ("model", "stages", "evaluate")):
            raise ValueError(
                f"{first.place} and {member.place} are no seeds of one arm: their recipes differ; "
                "rename one of the folders, so that they are compared"
            )


# ------------------------------------------------------------------------------------------------ what was measured


def stored(arms: Sequence[Arm]) -> Measured:
    """What the runs measured at their end. ValueError for a model, a run that is not done, and runs that were asked
    different problems."""
    read = {member: _after(member) for arm in arms for member in arm.members}
    first, whole = next(iter(read.items()))
    names = [name for name in whole if all(name in other for other in read.values())]
    if not names:
        raise ValueError(_apart(first, next(m for m in read if not set(read[m]) & set(whole)), "other evaluations"))
    notes, values = [], {member: {} for member in read}
    for number, name in enumerate(names):
        told, evaluation = whole[name]
        for member, other in read.items():
            other_told, asked = other[name]
            if any(told.get(part) != other_told.get(part) for part in ("task", "split", "reward", "correct")):
                raise ValueError(_apart(first, member, f"another task or reward in their evaluation {name!r}"))
            if asked["problems"] != evaluation["problems"]:
                raise ValueError(_apart(first, member, f"other problems in their evaluation {name!r}"))
            if told.get("rollout") != other_told.get("rollout"):
                notes.append(f"{first.place} and {member.place} made their attempts in different ways")
            correct, lengths = (np.array(asked[part], dtype=float) for part in ("correct", "lengths"))
            prefix = f"{name}/" if number else ""
            found = per_problem(correct, lengths)
            values[member] |= {f"{prefix}{metric}": column for metric, column in found.items()}
    attempts = min(len(other[names[0]][1]["correct"][0]) for other in read.values())
    return Measured(_sides(arms, values), len(whole[names[0]][1]["problems"]), attempts, tuple(dict.fromkeys(notes)))


def _after(member: Member) -> dict[str, tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """{evaluation: (how it is described, what it found)} at the end of a run."""
    if member.seed is None:
        raise ValueError(f"{member.place} is no run, so it has measured nothing yet; say what to ask it with --task")
    folder = Path(member.place)
    files = sorted((folder / "evaluations" / "after").glob("*.json"))
    if not files and (folder / "report.json").exists():
        raise ValueError(f"the recipe of {folder} evaluates nothing; say what to ask its model with --task")
    if not (folder / "report.json").exists():
        raise ValueError(f"{folder} is not done; go on with it by `whet resume {folder}`, or leave it out")
    told = {one.get("name"): one for one in read_json(folder / "recipe.json").get("evaluate", [])}
    return {file.stem: (told.get(file.stem, {}), read_json(file)) for file in files}


def _apart(first: Member, second: Member, what: str) -> str:
    return (
        f"{first.place} and {second.place} have {what}, so that they can not be paired; "
        "ask all models the same with --task"
    )


def played(
    arms: Sequence[Arm],
    what: Asked,
    attempts: int = 8,
    problems: int = 200,
    max_tokens: int = 256,
    temperature: float = 1.0,
    seed: int = 0,
    machine: Machine = cpu,
) -> Measured:
    """Every model asked the same problems with the same streams. ValueError for a run without a model, and for what
    `evaluating.evaluate` objects to."""
    stage = Evaluate(
        what.task,
        Sample(group=attempts, decoding=Decoding(max_tokens=max_tokens, temperature=temperature)),
        Weighted({"correct": named(what.reward)}),
        split=what.split,
        problems=problems,
    )
    members = [member for arm in arms for member in arm.members]
    for member in members:
        if member.seed is not None and not Path(member.model).exists():
            raise ValueError(f"{member.place} has no model yet; go on with it by `whet resume {member.place}`")
    values = {}
    for member in members:
        engine = Native(
            Pretrained(member.model).build(seed).to(machine.device), rows=machine.rows, engine=machine.engine
        )
        values[member] = per_problem(*stage.judge(asyncio.run(stage.play({"policy": engine}, seed))))
    return Measured(_sides(arms, values), len(stage.asked()), attempts)


def _sides(arms: Sequence[Arm], values: Mapping[Member, Mapping[str, np.ndarray]]) -> tuple[Side, ...]:
    metrics = [name for name in next(iter(values.values())) if all(name in other for other in values.values())]
    return tuple(
        Side(arm, {name: np.stack([values[member][name] for member in arm.members]) for name in metrics})
        for arm in arms
    )


# ---------------------------------------------------------------------------------------------------- what it says


def compared(measured: Measured, level: float = 0.95) -> dict[str, Any]:
    """{"problems", "attempts", "level", "sides": [{"name", "places", "seeds", "metrics": {metric: {"value", "low",
    "high"}}, "by_seed": {metric: [S]}}], "pairs": [{"of", "than", "metric", "value", "low", "high", "p", "p_holm",
    "effect", "wins", "ties", "losses", "unit", "settled", "seeds", "problems", "needed", "verdict"}], "coverage":
    [{"of", "than", "both", "gained", "lost", "neither", "p", "crossing", "crossing_low", "crossing_high",
    "crossing_share"}], "notes"}, all JSON values; an end of the crossing's interval that lies beyond all attempts is
    null.

    Every side against the first. With m of them the intervals of the pairs have the level 1 - (1 - level) / m, so that
    all hold together as often as one would (Bonferroni), and "p_holm" is adjusted alike. The verdict goes by the
    interval. ValueError if two sides have no seed in common.
    """
    first, *others = measured.sides
    each = 1 - (1 - level) / len(others)
    pairs, reached, notes = [], [], list(measured.notes)
    for other in others:
        rows, said = _paired_rows(first.arm, other.arm)
        notes += said
        reached.append(_reached(first, other, rows, each))
        for metric in first.values:
            than, new = (side.values[metric][index] for side, index in ((first, rows[0]), (other, rows[1])))
            pairs.append(_pair(first.arm.name, other.arm.name, metric, than, new, each))
    for metric in first.values:
        chosen = [pair for pair in pairs if pair["metric"] == metric]
        for pair, p in zip(chosen, holm([pair["p"] for pair in chosen]), strict=True):
            pair["p_holm"] = p
    sides = [
        {
            "name": side.arm.name,
            "places": [member.place for member in side.arm.members],
            "seeds": [member.seed for member in side.arm.members],
            "metrics": {metric: _estimated(metric, x, level) for metric, x in side.values.items()},
            "by_seed": {metric: means(x) for metric, x in side.values.items()},
        }
        for side in measured.sides
    ]
    counts = {"problems": measured.problems, "attempts": measured.attempts, "level": level}
    return plain({**counts, "sides": sides, "pairs": pairs, "coverage": reached, "notes": list(dict.fromkeys(notes))})


def _reached(first: Side, other: Side, rows: tuple[list[int], list[int]], level: float) -> dict[str, Any]:
    """What either solves at least once in all its attempts, and from which k on the first has caught up."""
    sides = [
        {name: x[index] for name, x in side.values.items()} for side, index in zip((first, other), rows, strict=True)
    ]
    than, new = ({int(name[5:]): x for name, x in s.items() if name.startswith("pass@")} for s in sides)
    found = asdict(coverage(sides[0]["pass@1"], sides[1]["pass@1"]))
    crossed = crossing_between(than, new, level)
    ends = [end if math.isfinite(end) else None for end in (crossed.low, crossed.high)]
    told = {"crossing": crossed.k, "crossing_low": ends[0], "crossing_high": ends[1], "crossing_share": crossed.share}
    return {"of": other.arm.name, "than": first.arm.name, **found, **told}


def _estimated(metric: str, values: np.ndarray, level: float) -> dict[str, float]:
    """An interval over seeds is symmetric and may leave what a share can be."""
    found = asdict(estimate(values, level))
    return {end: float(np.clip(value, 0, 1)) for end, value in found.items()} if is_share(metric) else found


def _pair(than: str, of: str, metric: str, before: np.ndarray, after: np.ndarray, level: float) -> dict[str, Any]:
    found = versus(before, after, level)
    said = {name: value for name, value in asdict(found).items() if name != "difference"}
    pair = {"of": of, "than": than, "metric": metric, **asdict(found.difference), **said}
    return {**pair, "verdict": verdict(of, metric, found.difference.value, found.settled)}


def verdict(of: str, metric: str, value: float, settled: bool) -> str:
    """ "gppo is better", "gppo is shorter", "no difference shown"."""
    if not settled or math.isnan(value):
        return "no difference shown"
    up, down = ("better", "worse") if is_share(metric) else ("longer", "shorter")
    return f"{of} is {up if value > 0 else down}"


def _paired_rows(first: Arm, other: Arm) -> tuple[tuple[list[int], list[int]], list[str]]:
    """Which members of two arms are paired: those of one seed; a model, or a single run, goes with all."""
    a, b = ([member.seed for member in arm.members] for arm in (first, other))
    alone = f"{first.name} and {other.name}: one seed, so this speaks of these models, not of how they were made"
    if len(a) == 1 and len(b) == 1:
        return ([0], [0]), [alone] if any(seed is not None for seed in (*a, *b)) else []
    if a == [None]:
        return ([0] * len(b), list(range(len(b)))), []
    if b == [None]:
        return (list(range(len(a))), [0] * len(a)), []
    shared = [seed for seed in a if seed in b]
    if not shared:
        raise ValueError(f"{first.name} has the seeds {a} and {other.name} has {b}: none in common, so none to pair")
    left = sorted({seed for seed in (*a, *b) if seed is not None and seed not in shared})
    notes = [f"{first.name} and {other.name}: seeds {left} are on one side only and left out"] if left else []
    notes += [alone] if len(shared) == 1 else []
    return ([a.index(seed) for seed in shared], [b.index(seed) for seed in shared]), notes


def by_seed(told: Mapping[str, Any], metric: str) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Arms by seeds, of a comparison: the header, and a row for every side with its mean in each seed and over all.
    No rows where no side has more than one seed."""
    sides = told["sides"]
    seeds = sorted({seed for side in sides for seed in side["seeds"] if seed is not None})
    if all(len(side["seeds"]) < 2 for side in sides):
        return (), []
    rows = []
    for side in sides:
        held = dict(zip(side["seeds"], side["by_seed"][metric], strict=True))
        cells = ["" if held.get(seed) is None else cell(metric, {"value": held[seed]}) for seed in seeds]
        rows.append((side["name"], *cells, cell(metric, side["metrics"][metric])))
    return (metric, *(f"seed {seed}" for seed in seeds), "all"), rows


def wanted(pair: Mapping[str, Any]) -> str:
    """What would settle an open difference, in words; "" for one that is settled."""
    if pair["settled"] or pair["value"] is None:
        return ""
    if not pair["value"]:
        return "no difference was seen at all"
    ways = [
        " and ".join(f"{count:,} {unit} (there are {pair[unit]})" for unit, count in way.items())
        for way in pair["needed"]
    ]
    return (
        f"about {' or '.join(ways)} would settle it" if ways else "too small to be settled by 10,000 seeds or problems"
    )
