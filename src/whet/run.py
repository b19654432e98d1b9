"""What the stages of one run share: models by name, learners, seed, folder, log, checkpoints."""

from __future__ import annotations

import copy
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch

from whet import checkpoints
from whet.ahead import version
from whet.alerts import Alerts, kept
from whet.engines.native import Native
from whet.engines.remote import Remote
from whet.files import append_json, read_lines, write_json
from whet.given import Endpoints, Given, added, check_given, make
from whet.inventory import check_models, learning, model_names, title, told
from whet.learners.local import Local
from whet.machines.profile import Machine, cpu
from whet.models.derived import Copy, Follow, Start
from whet.models.lm import LM, save
from whet.randomness import stream
from whet.schedule import at
from whet.types import Policy

_NOTICED: set[str] = set()  # what this process was told of its engines already
INTERRUPT = threading.Event()  # set by the command line's handler of Ctrl-C


class Interrupted(Exception):
    """The user asked to stop; everything is saved."""


class Screen(Protocol):
    """Where a run shows its progress. Only the command line prints."""

    def begin(self, title: str, steps: int, done: int) -> None: ...
    def advance(self, done: int, metrics: Mapping[str, float]) -> None: ...
    def end(self) -> None: ...
    def warn(self, text: str) -> None: ...
    def alert(self, text: str) -> None:
        """Something that was quiet for a while: it is to be said again, unlike a warning."""
        ...


class Silent:
    """A screen that shows nothing."""

    def begin(self, title: str, steps: int, done: int) -> None: ...
    def advance(self, done: int, metrics: Mapping[str, float]) -> None: ...
    def end(self) -> None: ...
    def warn(self, text: str) -> None: ...
    def alert(self, text: str) -> None: ...


@dataclass(frozen=True)
class Save:
    """When a stage writes checkpoints, and how many of the last ones it keeps."""

    every: int = 20
    keep: int = 2

    def __post_init__(self) -> None:
        if self.every < 1 or self.keep < 1:
            raise ValueError(f"Save.every and Save.keep must be at least 1, got {self.every} and {self.keep}")


class Stage(Protocol):
    """A stage of a run. Beyond this, a stage may have fields `models` (name -> Given), `ahead`, `save` and `alerts`."""

    def check(self, run: Run) -> None:
        """ValueError for anything that could not work, before any work."""
        ...

    def trains(self) -> Sequence[str]:
        """The models that this stage changes."""
        ...

    async def __call__(self, run: Run) -> None: ...


@dataclass
class Snapshot:
    """Weights of the models that change, and the state of the components that learn, as of one version."""

    weights: dict[str, dict[str, torch.Tensor]]
    states: dict[str, Any]


@dataclass
class Run:
    """One arm with one seed. A stage asks it for models and learners, and hands it every finished step."""

    folder: Path
    seed: int
    lms: dict[str, LM]
    stages: Sequence[Stage]
    machine: Machine = cpu
    screen: Screen = field(default_factory=Silent)
    number: int = 0  # of the stage that runs
    step: int = 0  # steps of it that are done
    tokens: int = 0  # sampled (or imitated) in the steps that are done, filtered attempts included, in all stages
    begun: int = 0  # `tokens` when this stage began
    stopping: str = ""  # why this stage ends early

    def __post_init__(self) -> None:
        self.engines: dict[str, Native] = {}
        self.learners: dict[str, Local] = {}
        self.versions: dict[int, Snapshot] = {}
        self.given: dict[str, Given] = {}
        self.endpoints = Endpoints(self.folder)
        self._built: dict[tuple[int, str], LM] = {}  # by a check, and not yet begun with
        self._optimizers: dict[str, Any] = {}
        self._noted: dict[str, float] = {}
        self._past: list[dict[str, Any]] = []  # what alerts look at of the steps of this stage
        self._checked = False  # a check reads every prompt: once is enough
        _reach(self.machine.device)
        for lm in self.lms.values():
            lm.to(self.machine.device)
        kept = any(isinstance(spec, Start) for stage in self.stages for spec in added(stage).values())
        self._start = {"start": copy.deepcopy(self.lms["policy"])} if kept else {}

    # -- stages ---------------------------------------------------------------------------------------------------

    async def go(self) -> None:
        """All stages, from where the run stands. Raises Interrupted once a step asked to stop is saved."""
        if self.machine.threads:
            torch.set_num_threads(self.machine.threads)
        if not self._checked:
            self.check()
        try:
            await self._stages(self._restore())
        finally:
            self.endpoints.close()

    async def _stages(self, saved: dict[str, Any] | None) -> None:
        for number in range(self.number, len(self.stages)):
            stage = self.stages[number]
            self._begin(stage, saved)
            saved = None
            self.screen.begin(title(stage), getattr(stage, "steps", 0), self.step)
            await stage(self)
            self.screen.end()
            self.number, self.step, self.stopping, self.begun = number + 1, 0, "", self.tokens
            self._forget_stage()
            self._write_start()
            if INTERRUPT.is_set():
                raise Interrupted(str(self.folder))

    def check(self) -> None:
        """ValueError for anything in any stage that could not work."""
        for number, stage in enumerate(self.stages):
            check_models(stage, self.lms)
            built = check_given(stage, self.lms, self.seed)
            self._built |= {(number, name): lm for name, lm in built.items()}
            stage.check(self)
        self._checked = True

    def _begin(self, stage: Stage, saved: dict[str, Any] | None) -> None:
        """Make the models that belong to this stage, and put saved weights and states back."""
        wanted = {name for _, name in model_names(stage)}
        self.given = {"reference": Copy("policy"), **added(stage)}
        self.given = {k: v for k, v in self.given.items() if k in wanted | set(getattr(stage, "models", {}))}
        for name, spec in self.given.items():
            if isinstance(spec, Remote):
                self.endpoints.open(name, spec)
            elif name not in self.lms:  # one that an earlier stage trained goes on
                self._add(name, spec)
        self._built = {of: lm for of, lm in self._built.items() if of[0] > self.number}
        self.window = int(getattr(stage, "ahead", 0))
        self._past = self._lines()
        self.parts = learning(stage)
        if saved is None:
            self.versions = {0: self._snapshot()}
            return
        self.versions = {int(v): Snapshot(s["weights"], s["states"]) for v, s in saved["versions"].items()}
        newest = self.versions[max(self.versions)]
        for name, weights in newest.weights.items():
            self.lms[name].put(weights)
        for path, part in self.parts.items():
            part.state.clear()
            part.state.update(copy.deepcopy(newest.states[path]))
        self._optimizers = saved["optimizers"]
        if not self.window:
            self.versions = {self.step: self._snapshot()}

    def _forget_stage(self) -> None:
        for name in self.given:
            if name not in self.stages[self.number - 1].trains():
                self.lms.pop(name, None)
        self.endpoints.close()
        self.engines, self.learners, self.versions, self._optimizers = {}, {}, {}, {}

    def _add(self, name: str, spec: Given) -> None:
        lm = self._built.pop((self.number, name), None) or make(name, spec, {**self.lms, **self._start}, self.seed)
        self.lms[name] = lm.to(self.machine.device)

    def rehearsal(self, number: int, stage: Stage, folder: Path, screen: Screen) -> Run:
        """Stage `number`, or one made from it, about to begin in a folder of its own, with the very models of this run:
        for whoever looks before the run does. Nothing of this run changes unless the models learn."""
        other = type(self)(folder, self.seed, dict(self.lms), [stage], self.machine, screen)
        other._start = self._start
        other._built = {(0, name): lm for (of, name), lm in self._built.items() if of == number}
        other._begin(stage, None)
        return other

    # -- models ---------------------------------------------------------------------------------------------------

    def changing(self) -> list[str]:
        """The models whose weights this stage changes: those it trains, and those that follow."""
        stage = self.stages[self.number]
        follow = [name for name, spec in self.given.items() if isinstance(spec, Follow)]
        return sorted({*stage.trains(), *follow})

    def models(self, version: int | None = None) -> Mapping[str, Policy]:
        """Every model by name, with its weights as of `version` (the newest if not given)."""
        version = max(self.versions) if version is None else version
        weights = self.versions[version].weights
        changing = self.changing()
        for name, lm in self.lms.items():
            engine = self.engines.get(name)
            if engine is None:
                own = copy.deepcopy(lm) if name in changing else lm
                machine = self.machine
                engine = Native(own, name=name, rows=machine.rows, version=-1, engine=machine.engine)
                self.engines[name] = engine
                if engine.notice and engine.notice not in _NOTICED:
                    _NOTICED.add(engine.notice)
                    self.screen.warn(engine.notice)
            if engine.version != version and name in changing:
                engine.lm.put(weights[name])
            engine.version = version
        return {**self.engines, **self.endpoints.live}

    def live(self) -> Mapping[str, Policy]:
        """Every model as it is now, in the middle of a step: for callbacks, which come before weights are published."""
        models = self.models()
        for name in self.changing():
            self.engines[name].lm.put(self.lms[name].weights())
            self.engines[name].version = -1  # whoever asks for a version next loads it anew
        return models

    def states(self, version: int) -> dict[int, Any]:
        """{id of a live state: a copy of it as of `version`}, for `schedule.at`."""
        if not self.window:
            return {}
        saved = self.versions[version].states
        return {id(part.state): copy.deepcopy(saved[path]) for path, part in self.parts.items()}

    def learner(self, name: str, slot: str = "", **adamw: Any) -> Local:
        """The learner of a model; made at first use, with its optimizer as it was saved. A `slot` ("sft") is another
        learner of the same weights, whose optimizer is its own: one way of learning does not change another's steps."""
        key = f"{name}/{slot}" if slot else name
        if key not in self.learners:
            self.learners[key] = Local(self.lms[name], self.machine, **adamw)
            if key in self._optimizers:
                self.learners[key].optimizer.load_state_dict(self._optimizers.pop(key))
        return self.learners[key]

    def stream(self, *parts: str | int) -> int:
        """A named stream of this run's seed and of the stage that runs."""
        return stream(self.seed, "stage", self.number, *parts)

    # -- steps ----------------------------------------------------------------------------------------------------

    def note(self, metrics: Mapping[str, float]) -> None:
        """Add to the metrics of the step that runs (for callbacks)."""
        self._noted.update(metrics)

    def stop(self, why: str) -> None:
        """End the stage after this step."""
        self.stopping = why

    def publish(self, step: int, metrics: Mapping[str, float]) -> None:
        """A step is done and `step` are done in all: followers follow, the weights become version `step`, the step is
        logged, and a checkpoint is written if one is due."""
        drawn = self._told(step - 1)
        for name, spec in self.given.items():
            if isinstance(spec, Follow):
                spec.follow(self.lms[name], self.lms[spec.source], step)
        self.versions[step] = self._snapshot()
        for old in [v for v in self.versions if v < step - self.window]:
            del self.versions[old]
        stage = self.stages[self.number]
        line = {
            "stage": type(stage).__name__.lower(),
            "number": self.number,
            "step": step - 1,
            **metrics,
            **drawn,
            **self._noted,
            **self.endpoints.metrics(),
        }
        line |= self._alerts(stage, line)
        append_json(self.folder / "metrics.jsonl", line)
        self.endpoints.keep()
        self._noted = {}
        self.step = step
        self.screen.advance(step, line)
        save = getattr(stage, "save", Save())
        if INTERRUPT.is_set() or step % save.every == 0:
            self._checkpoint(save.keep)
        if INTERRUPT.is_set():
            raise Interrupted(str(self.folder))

    def _alerts(self, stage: Stage, line: Mapping[str, Any]) -> dict[str, Any]:
        """{"alerts": [{"name", "message"}]} of a step, {} where there is none; those that were quiet are said aloud."""
        alerts: Alerts | None = getattr(stage, "alerts", None)
        if alerts is None:
            return {}
        found = alerts(self._past, line, line["step"] - version(line["step"], self.window))
        for alert in alerts.new(self._past, found):
            self.screen.alert(f"step {line['step']}: {alert.name}: {alert.message}")
        told = {"alerts": [asdict(alert) for alert in found]} if found else {}
        self._past.append(kept({**line, **told}))
        return told

    def _lines(self) -> list[dict[str, Any]]:
        """What alerts look at of the steps of this stage that are done."""
        file = self.folder / "metrics.jsonl"
        lines = read_lines(file) if self.step and file.exists() else []
        return [kept(line) for line in lines if line["number"] == self.number]

    def _told(self, step: int) -> dict[str, float]:
        """What the curriculum says of how it drew a step, with its state as of then."""
        stage = self.stages[self.number]
        if not hasattr(getattr(stage, "curriculum", None), "told"):
            return {}
        saved = self.versions[max(0, step - self.window)].states
        as_of = {id(part.state): saved[path] for path, part in self.parts.items()}
        return told(at(stage, step, as_of))

    def _snapshot(self) -> Snapshot:
        """Copies where older versions must be kept; else the live weights, which the engine copies when it loads."""
        weights = {name: self.lms[name].weights() for name in self.changing()}
        if self.window:
            weights = {name: {k: v.detach().clone() for k, v in w.items()} for name, w in weights.items()}
        return Snapshot(weights, {path: copy.deepcopy(part.state) for path, part in self.parts.items()})

    # -- checkpoints ----------------------------------------------------------------------------------------------

    def _checkpoint(self, keep: int) -> None:
        saved = {
            "number": self.number,
            "step": self.step,
            "tokens": self.tokens,
            "stopping": self.stopping,
            "versions": {v: {"weights": s.weights, "states": s.states} for v, s in self.versions.items()},
            "optimizers": self._optimizers  # of those that have not learned since the run was resumed
            | {key: learner.optimizer.state_dict() for key, learner in self.learners.items()},
        }
        checkpoints.write(self.folder, self.number, self.step, saved, keep)

    def _write_start(self) -> None:
        changed = any(stage.trains() for stage in self.stages[: self.number])
        weights = {name: lm.weights() for name, lm in self.lms.items()} if changed else {}
        checkpoints.write_start(
            self.folder, self.number, {"number": self.number, "tokens": self.tokens, "weights": weights}
        )

    def _restore(self) -> dict[str, Any] | None:
        """Put the run where its newest checkpoint says, and cut longer logs back to it."""
        start, within = checkpoints.newest(self.folder)
        if start:
            self.number, self.tokens, self.begun = start["number"], start["tokens"], start["tokens"]
            for name, weights in start["weights"].items():
                if name not in self.lms:
                    self._add(name, next(s.models[name] for s in self.stages if name in getattr(s, "models", {})))  # type: ignore
                self.lms[name].put(weights)
        if within:
            self.step, self.tokens, self.stopping = within["step"], within["tokens"], within["stopping"]
        checkpoints.cut_logs(self.folder, self.number, self.step)
        return dict(within) if within else None

    # -- artifacts ------------------------------------------------------------------------------------------------

    def keep_best(self) -> None:
        """Export the policy as it is now to `best/`."""
        save(self.lms["policy"], self.folder / "best")

    def artifact(self, name: str, value: Any) -> None:
        """Write a JSON file of the run."""
        write_json(self.folder / name, value)


def _reach(device: str) -> None:
    """ValueError if there is no such device."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        why = str(error).splitlines()[0]
        raise ValueError(
            f"Machine.device is {device!r}, which torch can not reach here ({why}); "
            "take --machine cpu, or install a torch that is built for it"
        ) from error
