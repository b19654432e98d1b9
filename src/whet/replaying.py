"""What `whet replay` does: the stored attempts of a run scored by another reward, as plain data.

`replayed(Path("runs/x/grpo-seed0"), "numeric")` reads the run's rollouts and never writes into it.
"""

from __future__ import annotations

import asyncio
import heapq
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
import torch

from whet.describe import walk
from whet.files import plain
from whet.launch import ordered
from whet.metrics.intervals import bootstrap, paired
from whet.randomness import stream
from whet.rewards.named import named
from whet.schedule import at
from whet.scoring import Weighted, totals
from whet.stages.rl import RL
from whet.types import Group, Problem, Reward, Row, Scored, Task, Trajectory, Turn

OWN = "run"  # the word for the run's own reward
_CHANGED = 5  # our choice: attempts that are shown
_SCANNED = 100_000  # our choice: problems of a split that are looked through for one that was not drawn again
_SAME = 1e-6  # rewards that differ by less are the same: they are stored as float32
_SHORT = 400  # our choice: characters of an attempt that is shown


@dataclass(frozen=True)
class Attempt:
    """An attempt with the reward that the run gave it and the new one; NaN is no verdict."""

    group: tuple[int, int, int, str]  # stage, step, slot, name
    number: int
    problem: str
    text: str
    old: float
    new: float

    @property
    def change(self) -> float:
        return abs(self.new - self.old)


def replayed(folder: Path, reward: str, term: str = "", last: int = 0) -> dict[str, Any]:
    """{"reward", "against", "attempts", "groups", "old", "new", "difference", "agreement", "right", "flips", "lost",
    "won", "steps", "changed"}, all JSON values.

    `reward`: one of Whet's or "file.py:function", see `rewards.named`, or "run", the run's own. It is set against the
    reward that the run gave, or against its term `term`; of the last `last` steps of each stage, 0: of all.

    old, new       mean of each group's mean reward, with an interval over groups
    difference     new - old, paired by group
    agreement      share of attempts with the same reward in both
    right          {"both", "old", "new", "neither"}: how many attempts have a reward of 1 or more
    flips          share of attempts that were above the mean of their group and are below it now, or the other way
    lost, won      groups that had rewards that differ and have none now; that had none and have them now
    steps          [{"stage", "step", "old", "new"}]
    changed        the attempts whose reward has changed most

    Problems are drawn again as the run drew them, so that a reward finds all that the task knows of them; one that the
    draw does not give is looked for in the task by its id, and else is what the run stored: its prompt and answer as
    text. Attempts without a verdict on either side are in no mean.

    ValueError for a folder that is no run, one without rollouts, a reward that asks a model, an unknown term.
    """
    order, recipe = ordered(folder)
    stages = [*recipe.evaluate, *recipe.arms[order.arm]]
    files = _files(folder, last)
    found: list[Attempt] = []
    for number, steps in files.items():
        stage = stages[number] if number < len(stages) else None
        if not isinstance(stage, RL):
            continue
        problems = _Problems(stage, order.seed, number)
        for step, file in steps:
            judge = _judge(reward, stage, step)
            found += asyncio.run(_scored(file, judge, problems, step, term))
    return plain({"run": str(folder), "reward": reward, "against": term or "reward", **_told(found)})


def _files(folder: Path, last: int) -> dict[int, list[tuple[int, Path]]]:
    """{stage: [(step, file)]}, the last steps of each."""
    found: dict[int, list[tuple[int, Path]]] = {}
    for file in sorted((folder / "rollouts").glob("*.parquet")):
        number, step = file.stem.split("-")[:2]
        found.setdefault(int(number), []).append((int(step), file))
    if not found:
        raise ValueError(
            f"{folder} has no rollouts, so nothing to score again; give the folder of a run with an RL stage"
        )
    return {number: steps[-last:] if last else steps for number, steps in found.items()}


def _judge(reward: str, stage: RL, step: int) -> Reward:
    judge = at(stage, step).reward if reward == OWN else Weighted({"correct": named(reward)})
    asking = [path for path, part in walk(judge) if getattr(part, "asks_models", False)]
    if asking:
        raise ValueError(f"the reward {asking[0]} asks a model, and a replay has none; choose another with --reward")
    return judge


# ----------------------------------------------------------------------------------------------------------- problems


class _Problems:
    """The problems of a stage by id, as far as they can be had again."""

    def __init__(self, stage: RL, seed: int, number: int) -> None:
        self.stage, self.seed, self.number = stage, seed, number
        self.known: dict[str, Problem] = {}
        self._scanned = False

    def draw(self, step: int) -> None:
        """Those of a step, drawn as the run drew them. A curriculum that learns draws as it did in the beginning."""
        me = at(self.stage, step)
        for again in range(1 + int(me.refills)):
            seed = stream(self.seed, "stage", self.number, "draw", step, again)
            for problem in me.curriculum.draw(me.task, int(me.problems), seed):
                self.known.setdefault(problem.id, problem)

    def named(self, name: str, prompt: str, answer: str | None) -> Problem:
        if name not in self.known and not self._scanned:
            self._scanned = True
            for problem in _all(self.stage.task, getattr(self.stage.curriculum, "split", "train")):
                self.known.setdefault(problem.id, problem)
        return self.known.get(name) or Problem(name, prompt, answer)


def _all(task: Task, split: str) -> Iterator[Problem]:
    size = task.size(split)
    if size is not None and size <= _SCANNED:
        yield from (task.problem(split, i) for i in range(size))


# ----------------------------------------------------------------------------------------------------------- attempts


async def _scored(file: Path, judge: Reward, problems: _Problems, step: int, term: str) -> list[Attempt]:
    """The attempts of one step with both rewards."""
    problems.draw(step)
    lines = parquet.read_table(file).to_pylist()
    column = f"term/{term}" if term else "reward"
    if lines and column not in lines[0]:
        terms = sorted(name[5:] for name in lines[0] if name.startswith("term/"))
        raise ValueError(f"the run has no term {term!r}; it has {', '.join(terms)}")
    groups: dict[tuple[int, int, int, str], dict[int, list[dict[str, Any]]]] = {}
    for line in lines:
        key = (line["stage"], line["step"], line["slot"], line["group"])
        groups.setdefault(key, {}).setdefault(line["attempt"], []).append(line)
    whole = [(key, attempts, _group(attempts, problems)) for key, attempts in groups.items()]
    scored: list[Scored] = list(await asyncio.gather(*(judge({}, group) for _, _, group in whole)))
    return [
        Attempt(key, number, group.problem.id, _text(trajectory), _number(rows[0][column]), float(value))
        for (key, attempts, group), one in zip(whole, scored, strict=True)
        for (number, rows), trajectory, value in zip(
            sorted(attempts.items()), group.trajectories, totals(one).tolist(), strict=True
        )
    ]


def _group(attempts: Mapping[int, list[dict[str, Any]]], problems: _Problems) -> Group:
    first = next(iter(attempts.values()))[0]
    problem = problems.named(first["problem"], first["prompt"], first["answer"])
    trajectories = tuple(_trajectory(problem, rows) for _, rows in sorted(attempts.items()))
    return Group(problem, trajectories, first["group"], first["slot"])


def _trajectory(problem: Problem, lines: Sequence[dict[str, Any]]) -> Trajectory:
    lines = sorted(lines, key=lambda line: line["row"])
    info = {"error": lines[0]["error"]} if lines[0]["error"] else {}
    turns = tuple(
        Turn(turn["role"], turn["text"], line["row"], turn["start"], turn["stop"])
        for line in lines
        for turn in line["turns"] or ()
    )
    return Trajectory(problem, tuple(map(_row, lines)), turns, lines[0]["stop"], info)


def _row(line: Mapping[str, Any]) -> Row:
    return Row(
        torch.tensor(line["tokens"], dtype=torch.long),
        torch.tensor(line["sampled"], dtype=torch.bool),
        torch.tensor(line["trained"], dtype=torch.bool),
        torch.tensor(line["logprobs"], dtype=torch.float32),
        torch.tensor(line["versions"], dtype=torch.int32),
        line["model"],
    )


def _text(trajectory: Trajectory) -> str:
    return "".join(turn.text for turn in trajectory.turns if turn.role != "prompt")


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


# ------------------------------------------------------------------------------------------------------ what it says


def _told(attempts: Sequence[Attempt]) -> dict[str, Any]:
    known = [attempt for attempt in attempts if not math.isnan(attempt.old + attempt.new)]
    groups: dict[tuple[int, int, int, str], list[Attempt]] = {}
    for attempt in known:
        groups.setdefault(attempt.group, []).append(attempt)
    old, new = (np.array([np.mean([getattr(a, s) for a in g]) for g in groups.values()]) for s in ("old", "new"))
    same = np.array([np.mean([a.change < _SAME for a in group]) for group in groups.values()])
    flips = np.array([np.mean(_flips(group)) for group in groups.values()])
    differ = [(_differ(group, "old"), _differ(group, "new")) for group in groups.values()]
    return {
        "attempts": len(attempts),
        "groups": len(groups),
        "no_verdict": {side: sum(math.isnan(getattr(a, side)) for a in attempts) for side in ("old", "new")},
        "old": asdict(bootstrap(old)),
        "new": asdict(bootstrap(new)),
        "difference": asdict(paired(old, new)),
        "agreement": asdict(bootstrap(same)),
        "right": {
            "both": sum(a.old >= 1 and a.new >= 1 for a in known),
            "old": sum(a.old >= 1 > a.new for a in known),
            "new": sum(a.new >= 1 > a.old for a in known),
            "neither": sum(a.old < 1 and a.new < 1 for a in known),
        },
        "flips": asdict(bootstrap(flips)),
        "lost": sum(before and not now for before, now in differ),
        "won": sum(now and not before for before, now in differ),
        "steps": _steps(known),
        "changed": [_shown(a) for a in heapq.nlargest(_CHANGED, known, key=lambda a: a.change) if a.change >= _SAME],
    }


def _flips(group: Sequence[Attempt]) -> list[bool]:
    """Whether each attempt's advantage, its reward less the mean of its group, has another sign now."""
    old, new = (np.array([getattr(a, side) for a in group]) for side in ("old", "new"))
    before, now = (np.where(np.abs(x - x.mean()) < _SAME, 0.0, x - x.mean()) for x in (old, new))
    return (before * now < 0).tolist()


def _differ(group: Sequence[Attempt], side: str) -> bool:
    values = [getattr(attempt, side) for attempt in group]
    return max(values) - min(values) >= _SAME


def _steps(attempts: Sequence[Attempt]) -> list[dict[str, Any]]:
    steps: dict[tuple[int, int], list[Attempt]] = {}
    for attempt in attempts:
        steps.setdefault(attempt.group[:2], []).append(attempt)
    return [
        {"stage": stage, "step": step, **{s: float(np.mean([getattr(a, s) for a in of])) for s in ("old", "new")}}
        for (stage, step), of in sorted(steps.items())
    ]


def _shown(attempt: Attempt) -> dict[str, Any]:
    stage, step, slot, name = attempt.group
    text = attempt.text if len(attempt.text) <= _SHORT else f"{attempt.text[:_SHORT]} ..."
    place = {"stage": stage, "step": step, "slot": slot, "group": name, "attempt": attempt.number}
    return {**place, "problem": attempt.problem, "old": attempt.old, "new": attempt.new, "text": text}


def lines_of(told: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What `replayed` says as a table: (what, value)."""

    def cell(found: Mapping[str, Any], share: bool = False, sign: str = "") -> str:
        if found["value"] is None:
            return "not known"
        scale, digits = (100, 1) if share else (1, 3)
        value, low, high = (None if v is None else scale * v for v in (found["value"], found["low"], found["high"]))
        ends = "" if low is None or high is None else f" [{low:{sign}.{digits}f}, {high:{sign}.{digits}f}]"
        return f"{value:{sign}.{digits}f}{' %' if share else ''}{ends}"

    right, lost = told["right"], told["no_verdict"]
    rows = [
        ("attempts, groups", f"{told['attempts']}, {told['groups']}"),
        (f"mean {told['against']} in the run", cell(told["old"])),
        (f"mean by {told['reward']}", cell(told["new"])),
        ("difference", cell(told["difference"], sign="+")),
        ("same reward", cell(told["agreement"], share=True)),
        (
            "right: both, run only, new only, neither",
            ", ".join(str(right[k]) for k in ("both", "old", "new", "neither")),
        ),
        ("advantage with another sign", cell(told["flips"], share=True)),
        ("groups that no longer teach, that now do", f"{told['lost']}, {told['won']}"),
    ]
    if any(lost.values()):
        rows.append(("no verdict: run, new", f"{lost['old']}, {lost['new']}"))
    return rows
