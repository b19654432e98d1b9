"""Which of the fields that the user set do two real steps read?"""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from whet.describe import children
from whet.doctor.case import Aside, opened, shortened, undisturbed
from whet.doctor.finding import Finding
from whet.engines.remote import Remote
from whet.given import added
from whet.run import Run, Stage
from whet.schedule import at
from whet.settings import where
from whet.stages.rl import RL

_STEPS = 2
_FIELDS = "_whet_watched"
_PROBLEMS = 4  # our choice: of a step
# Who goes through a tree without meaning any of its fields: to copy it, to describe it, to put numbers in place.
_PASSING = ("schedule.py", "describe.py", "dataclasses.py", "copy.py", "inventory.py", "settings.py", "<string>")


def unread(run: Run, arms: Mapping[str, Sequence[Stage]], arm: str, settings: Sequence[str]) -> list[Finding]:
    """A warning for every setting of a stage of `arm` that two steps of that stage, with copies of the models, do not
    read. `run` is one of this arm that has been checked and not begun."""
    first = next(i for i in range(len(run.stages)) if _same(run.stages[i : i + len(arms[arm])], arms[arm]))
    wanted: dict[int, list[tuple[str, tuple[str, ...]]]] = {}
    for setting in settings:
        for name, number, keys in where(arms, setting):
            if name == arm:
                wanted.setdefault(number, []).append((setting.partition("=")[0].strip(), keys))
    unread: dict[str, int] = {}
    count: dict[str, int] = {}
    for number, paths in wanted.items():
        read = _read(run, run.stages[first + number], paths)
        for path, _ in paths if read is not None else ():
            count[path] = count.get(path, 0) + 1
            unread[path] = unread.get(path, 0) + (path not in read)  # type: ignore[operator]
    return [_finding(path) for path in unread if unread[path] == count[path]]


def _finding(path: str) -> Finding:
    return Finding(
        "unread setting",
        "what was set is read by a step",
        f"{path}, which nothing read in {_STEPS} real steps",
        "look at `whet show` whether it is the field that was meant, or one of a part that comes later or never",
        "warning",
    )


def _same(some: Sequence[Any], others: Sequence[Any]) -> bool:
    return len(some) == len(others) and all(type(a) is type(b) for a, b in zip(some, others, strict=True))


def _read(run: Run, stage: Any, paths: Sequence[tuple[str, tuple[str, ...]]]) -> set[str] | None:
    """The paths that two steps of a stage read; None for a stage that has no steps or asks a remote model."""
    if not isinstance(getattr(stage, "steps", None), int) or any(
        isinstance(spec, Remote) for spec in added(stage).values()
    ):
        return None
    small = replace(copy.deepcopy(stage), steps=min(_STEPS, stage.steps))
    if isinstance(stage, RL):
        _, prompt = opened(stage, run)
        cut, short = shortened(at(small, 0), run.lms["policy"], _PROBLEMS, prompt, thorough=True)
        small = replace(small, problems=cut.problems, **({"rollout": cut.rollout} if short else {}))
        small = copy.deepcopy(small)
    read: set[str] = set()
    for path, keys in paths:
        _watch(small, keys, path, read)
    with undisturbed(), tempfile.TemporaryDirectory(prefix="whet-doctor-") as folder:
        lms = {name: copy.deepcopy(lm) for name, lm in run.lms.items()}
        other = type(run)(Path(folder), run.seed, lms, [small], run.machine, Aside(run.screen))
        other.check()
        asyncio.run(other.go())
    return read


def _watch(tree: Any, keys: Sequence[str], path: str, read: set[str]) -> None:
    """Have the component that holds the field at `keys` tell when somebody reads it."""
    owner, field, node = tree, keys[0], tree
    for key in keys:
        if dataclasses.is_dataclass(node):
            owner, field = node, key
        node = dict(children(node)).get(key)
    kind = type(owner)
    if not hasattr(kind, _FIELDS):  # several settings of one component are told by one class
        kind = _told(kind, read)
        object.__setattr__(owner, "__class__", kind)
    getattr(kind, _FIELDS).setdefault(field, []).append(path)


def _told(kind: type, read: set[str]) -> type:
    """`kind`, which tells of reads: {field: paths of the settings} is for whoever makes it to fill."""
    fields: dict[str, list[str]] = {}

    def look(self: Any, name: str) -> Any:
        if name in fields:
            code = sys._getframe(1).f_code
            if code.co_name != "__post_init__" and not code.co_filename.endswith(_PASSING):
                read.update(fields[name])
        return super(told, self).__getattribute__(name)

    told = type(kind.__name__, (kind,), {"__getattribute__": look, "__module__": kind.__module__, _FIELDS: fields})
    return told
