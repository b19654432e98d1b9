"""What `whet explain` does: a recipe in numbers before it runs, as plain data.

explained(Order("quickstart"))    # rows, updates, tokens, memory, seconds, and where every value comes from
"""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from whet.describe import children, walk
from whet.doctor.case import Aside, Case, opened, shortened, undisturbed
from whet.doctor.room import longest_row, tokens_of_a_step
from whet.effects import check_effects
from whet.engines.remote import Remote
from whet.files import plain, read_lines
from whet.given import added
from whet.launch import Order, find, machine
from whet.learners.local import Local
from whet.learners.memory import memory_of
from whet.models.derived import Copy, Follow, Start
from whet.models.lora import Lora
from whet.recipe import Made, make
from whet.run import Run, Save, Screen, Silent
from whet.schedule import Schedule, at
from whet.settings import paths, where
from whet.stages.evaluate import Evaluate
from whet.stages.learning import Train
from whet.stages.rl import RL

_STEPS = 4  # our choice: that are rehearsed; the first is not timed, as it makes what later ones have
_OTHER = 16  # our choice: problems of a rehearsed step of a stage that does not play


def explained(order: Order, price: float = 0.0, screen: Screen | None = None) -> dict[str, Any]:
    """{"recipe", "arm", "machine", "model", "stages": [...], "seconds", "cost", "notes"}, all JSON values. Of an RL
    stage

    problems, group, attempts   of a step; `attempts` = problems * group
    engine                      rows that are decoded at once, and how often it takes up that many in a step
    train                       of every model that learns: groups in each mini-batch of a pass, [16] or [6, 5, 5], and
                                optimizer steps, of a step and in all
    tokens                      of a prompt, of a step at most and as expected, of the longest row
    memory                      bytes at the worst moment, by what holds them (`learners.memory`), and what there is
    seconds                     of a step (play, learn) with attempts as long as they are now, of one whose attempts
                                are all as long as they may be ("step_at_most"), and of the stage
    valid                       where something does not divide: the nearest numbers that do
    settings                    [{"path", "value", "from": "recipe", "default", "--set" or "at_scale"}]

    Memory is from the model's shapes. Time is measured: a few steps are rehearsed with a copy of the model (with a
    large model fewer and shorter attempts, taken up in proportion to the tokens), with attempts as long as they are
    now; a policy that learns to write more takes longer. A warm start that is not in the cache is not made: its model
    is rehearsed as it is before, and the length of a worked solution stands for that of an attempt. `price`: of an hour
    of the machine.

    ValueError for whatever a run would refuse, and for settings that are known to have no effect.
    """
    recipe = find(order)
    arm = order.arm or (next(iter(recipe.arms)) if len(recipe.arms) == 1 else "")
    if arm not in recipe.arms:
        raise ValueError(f"the recipe has several arms; choose one with --arm: {', '.join(recipe.arms)}")
    profile = machine(order)
    check_effects(recipe.arms, order.settings, profile, arm)
    spec, warm = _there(recipe.model, order.seed)
    stages = copy.deepcopy([*recipe.evaluate, *recipe.arms[arm]])
    stages = [_with_models(stage, order.seed) for stage in stages]
    told, notes, speed = [], [], 0.0
    with undisturbed(), tempfile.TemporaryDirectory(prefix="whet-explain-") as folder:
        lms = {"policy": make(spec, order.seed, profile, screen)}
        run = Run(Path(folder), order.seed, lms, stages, profile, Aside(screen or Silent()))
        if profile.threads:
            torch.set_num_threads(profile.threads)
        run.check()
        for number, stage in enumerate(stages):
            place = Path(folder) / str(number)
            place.mkdir()
            said = _stage(run, number, stage, place, bool(warm))
            if number >= len(recipe.evaluate):
                said["settings"] = list(_settings(stage, arm, number - len(recipe.evaluate), order, recipe))
            told.append(said)
    if warm:
        notes.append(f"the warm start is not made yet ({', '.join(warm)}); `whet run` makes it once, before the rest")
    speed = next((s["speed"] for s in told if s.get("speed")), 0.0)
    for said in told:
        if said["is"] == "Evaluate" and speed:
            said["seconds"] = {"stage": 2 * said["tokens"] / speed}  # before and after
    if profile.device == "cpu" and torch.get_num_threads() > 1:
        notes.append(f"measured with {torch.get_num_threads()} threads, while nothing else should be at work")
    seconds = [s["seconds"]["stage"] for s in told if s.get("seconds")]
    total = sum(seconds) if len(seconds) == len(told) else None
    return plain(
        {
            "recipe": order.recipe,
            "arm": arm,
            "machine": asdict(profile),
            "model": {
                "parameters": sum(p.numel() for p in lms["policy"].parameters()),
                "context": lms["policy"].context,
            },
            "stages": told,
            "seconds": total,
            "cost": None if total is None or not price else price * total / 3600,
            "notes": notes,
        }
    )


def _with_models(stage: Any, seed: int) -> Any:
    """A stage whose further models can be built at once."""
    given = {name: _there(spec, seed)[0] for name, spec in added(stage).items()}
    return replace(stage, models=given) if given else stage


def _there(spec: Any, seed: int) -> tuple[Any, list[str]]:
    """A model that can be built at once: itself, or what it is before a warm start that is not in the cache, with the
    stages of that."""
    if isinstance(spec, Made) and not (spec.place(seed) / "config.json").exists():
        inner, before = _there(spec.model, seed)
        return inner, [*before, *(type(stage).__name__ for stage in spec.stages)]
    if isinstance(spec, Lora):
        inner, before = _there(spec.model, seed)
        return replace(spec, model=inner), before
    return spec, []


# ------------------------------------------------------------------------------------------------------------- stages


def _stage(run: Run, number: int, stage: Any, folder: Path, cold: bool) -> dict[str, Any]:
    said: dict[str, Any] = {"is": type(stage).__name__, "steps": getattr(stage, "steps", 1)}
    if isinstance(stage, RL):
        return said | _played(run, stage, folder, cold)
    if isinstance(stage, Evaluate):
        attempts = stage.problems * _most(stage.rollout, "group")
        return said | {"name": stage.name, "attempts": attempts, "tokens": attempts * _expected(run, stage)}
    seconds = _other(run, stage, folder)
    return said | ({"seconds": {"step": seconds, "stage": seconds * stage.steps}} if seconds else {})


def _played(run: Run, stage: RL, folder: Path, cold: bool) -> dict[str, Any]:
    me = at(stage, 0)
    problems, prompt = opened(stage, run)
    case = Case(run, stage, problems)
    count, group = int(me.problems), _most(stage.rollout, "group")
    attempts = count * group
    most = tokens_of_a_step(case, stage)
    measured = _rehearsed(run, stage, prompt, folder)
    expected = _solution(run, problems) if cold else 0.0
    length = expected or measured.get("length", 0.0)
    trains = {name: _updates(train, count, stage) for name, train in me.train.items()}
    said: dict[str, Any] = {
        "problems": count,
        "group": group,
        "attempts": attempts,
        "engine": {"rows": run.machine.rows, "waves": -(-attempts // run.machine.rows)},
        "train": trains,
        "valid": [word for name, train in me.train.items() for word in _valid(name, train, count, group, run)],
        "tokens": {
            "prompt": prompt,
            "step_at_most": most,
            "step_expected": attempts * length + count * prompt,
            "attempt_expected": length,
            "longest_row": longest_row(case, stage),
        },
        "memory": _memory(run, stage, case, int(attempts * length + count * prompt)),
    }
    if measured:
        play, learn = measured["play"], measured["learn"]
        scale = length / measured["length"] if measured["length"] and expected else 1.0
        step = scale * (play + learn)
        longest = max((d.max_tokens for d in case.decodings), default=length) * _most(stage.rollout, "turns")
        said["seconds"] = {
            **{"play": scale * play, "learn": scale * learn, "step": step, "stage": step * stage.steps},
            "step_at_most": step * max(1.0, longest / max(length, 1.0)),
        }
        said["speed"] = measured["length"] * attempts / play if play else 0.0
        said["scaled"] = measured["scaled"]
    return said


def _rehearsed(run: Run, stage: RL, prompt: float, folder: Path) -> dict[str, Any]:
    """Seconds to play and to learn a step, and tokens of an attempt; {} for a stage that asks a remote model."""
    if any(isinstance(spec, Remote) for spec in added(stage).values()):
        return {}
    cut, short = shortened(at(stage, 0), run.lms["policy"], int(at(stage, 0).problems), prompt, thorough=True)
    # as many problems as the stage has wherever that is affordable: what a step costs is not in proportion to them
    count = (
        int(at(stage, 0).problems)
        if not short and cut.problems == min(int(at(stage, 0).problems), 16)
        else cut.problems
    )
    small = replace(stage, problems=count, rollout=cut.rollout, callbacks=(), refills=0, until=None, steps=_STEPS)
    small = copy.deepcopy(replace(small, save=Save(every=1 << 40), ahead=0))
    lms = {name: copy.deepcopy(lm) for name, lm in run.lms.items()}
    other = type(run)(folder, run.seed, lms, [small], run.machine, run.screen)
    other.check()
    asyncio.run(other.go())
    lines = read_lines(folder / "metrics.jsonl")[1:]
    attempts = int(count) * _most(small.rollout, "group")
    length = sum(line["length/mean"] for line in lines) / len(lines)
    play, learn = (sorted(line[name] for line in lines)[len(lines) // 2] for name in ("time/play", "time/learn"))
    whole = int(at(stage, 0).problems) * _most(stage.rollout, "group")
    full = max((d.max_tokens for d in Case(run, stage, ()).decodings), default=0)
    tokens = full if short else length  # of an attempt that was cut nothing is known but its limit
    up = whole * (tokens + (prompt if short else 0)) / (attempts * (length + (prompt if short else 0)))
    return {"play": play * up, "learn": learn * up, "length": tokens, "scaled": up != 1}


def _other(run: Run, stage: Any, folder: Path) -> float:
    """Seconds of a step of a stage that does not play; 0 where it has none, or asks a remote model."""
    if not isinstance(getattr(stage, "steps", None), int) or any(isinstance(s, Remote) for s in added(stage).values()):
        return 0.0
    changes: dict[str, Any] = {"steps": min(_STEPS, stage.steps)}
    whole = getattr(stage, "problems", None)
    if isinstance(whole, int):
        changes["problems"] = min(whole, _OTHER)
    small = copy.deepcopy(replace(stage, **changes))
    lms = {name: copy.deepcopy(lm) for name, lm in run.lms.items()}
    other = type(run)(folder, run.seed, lms, [small], run.machine, run.screen)
    other.check()
    begun = time.monotonic()
    asyncio.run(other.go())
    lines = read_lines(folder / "metrics.jsonl")[1:] if (folder / "metrics.jsonl").exists() else []
    times = sorted(line["time/learn"] for line in lines if "time/learn" in line)
    one = times[len(times) // 2] if times else (time.monotonic() - begun) / changes["steps"]
    return one * (whole / changes["problems"] if isinstance(whole, int) else 1)


def _updates(train: Train, groups: int, stage: RL) -> dict[str, Any]:
    """Groups of each mini-batch, and optimizer steps."""
    epochs, parts = int(train.epochs), min(int(train.minibatches), groups)
    sizes = [len(range(i, groups, parts)) for i in range(parts)]
    return {
        "epochs": epochs,
        "minibatches": sizes,
        "updates": epochs * parts,
        "updates_in_all": epochs * parts * stage.steps,
    }


def _valid(name: str, train: Train, groups: int, group: int, run: Run) -> Iterator[str]:
    """What does not divide, and what would."""
    parts = int(train.minibatches)
    if parts > 1 and groups % parts:
        below = [n for n in range(1, groups + 1) if groups % n == 0]
        near = sorted({max((n for n in below if n <= parts), default=1), min(n for n in below if n >= parts)})
        some = sorted({max(parts, groups // parts * parts), -(-groups // parts) * parts})
        yield (
            f"{groups} problems do not divide into {parts} mini-batches of {name!r} evenly: minibatches "
            f"{' or '.join(map(str, near))}, or problems {' or '.join(map(str, some))}, would"
        )
    rows = run.machine.rows
    if groups * group > rows and groups * group % rows:
        fit = groups * group // rows * rows // group
        yield (
            f"{groups * group} attempts do not fill waves of {rows} rows: {fit} problems, or rows={group * groups}, "
            "would"
        )


def _memory(run: Run, stage: RL, case: Case, tokens: int) -> dict[str, Any]:
    """Bytes of the model that needs most: with `tokens` in a step, and with as many as there may be ("at_most")."""
    copies = sum(isinstance(spec, (Copy, Follow, Start)) for spec in added(stage).values()) + int(stage.ahead)
    found: dict[str, Any] = {}
    for name, train in at(stage, 0).train.items():
        if name not in run.lms:
            continue
        lm = copy.deepcopy(run.lms[name])  # a learner says of a model's weights which of them learn
        learner = Local(lm, run.machine, **train.adamw)
        longest = longest_row(case, stage)
        needed = learner.memory(longest, max(tokens, longest), copies)
        if needed.total > found.get("total", 0):
            most = learner.memory(longest, tokens_of_a_step(case, stage), copies).total
            found = {**asdict(needed), "total": needed.total, "at_most": most, "model": name}
            found["micro_tokens"] = learner.micro_tokens(longest)
    return found | {"there": memory_of(str(run.lms["policy"].device))}


def _most(rollout: Any, field: str) -> int:
    """The largest whole number that a part of a rollout has in a field; 1 if none has."""
    parts = [getattr(part, field, None) for _, part in walk(rollout)]
    return max([int(n) for n in parts if isinstance(n, int) and not isinstance(n, bool)], default=1)


def _solution(run: Run, problems: Sequence[Any]) -> float:
    """Mean tokens of the worked solutions; 0 where there are none."""
    tokenizer = run.lms["policy"].codec.tokenizer
    texts = [p.info["solution"] for p in problems if isinstance(p.info.get("solution"), str)]
    return sum(1 + len(tokenizer.encode(text, add_special_tokens=False)) for text in texts) / max(len(texts), 1)


def _expected(run: Run, stage: Evaluate) -> float:
    return _solution(run, stage.asked()[:16]) or max(
        (d.max_tokens for _, d in walk(stage.rollout) if hasattr(d, "max_tokens")), default=0
    )


# ----------------------------------------------------------------------------------------------------------- settings


def _settings(stage: Any, arm: str, number: int, order: Order, recipe: Any) -> Iterator[dict[str, Any]]:
    """Every value of a stage, and where it comes from."""
    arms = recipe.arms
    said = {keys for setting in order.settings for a, n, keys in where(arms, setting) if (a, n) == (arm, number)}
    scale = [f"{path}=null" for path in recipe.at_scale] if order.model else []
    scaled = {keys for setting in scale for a, n, keys in where(arms, setting) if (a, n) == (arm, number)}
    held = paths(stage)
    for path, value in held.items():
        if isinstance(value, (Mapping, Schedule)) and any(other.startswith(f"{path}.") for other in held):
            continue
        keys = next(k for a, n, k in where({arm: [stage]}, f"{arm}.0.{path}=null") if n == 0)
        source = "--set" if _within(keys, said) else "at_scale" if _within(keys, scaled) else _source(stage, keys)
        yield {"path": path, "value": value if _is_plain(value) else repr(value), "from": source}


def _within(keys: tuple[str, ...], others: set[tuple[str, ...]]) -> bool:
    return any(keys[: len(other)] == other for other in others)


def _source(node: Any, keys: Sequence[str]) -> str:
    """Whether the value at `keys` is what a component has by itself: "default", else "recipe"."""
    for key in keys:
        if dataclasses.is_dataclass(node):
            field = next(f for f in dataclasses.fields(node) if f.name == key)
            made = field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
            if made is not dataclasses.MISSING and made == getattr(node, key):
                return "default"
        node = dict(children(node))[key]
    return "recipe"


def _is_plain(value: Any) -> bool:
    try:
        plain(value)
    except ValueError:
        return False
    return True
