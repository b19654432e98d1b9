"""The loop."""

from __future__ import annotations

import time
from asyncio import gather
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

from whet.advantages.group_mean import GroupMean
from whet.ahead import ahead, version
from whet.alerts import Alerts
from whet.batching import collate
from whet.curricula.uniform import Uniform
from whet.filters.everything import everything
from whet.given import Given
from whet.metrics.scored import training_metrics
from whet.run import Run, Save
from whet.schedule import Count, at
from whet.scoring import judged
from whet.stages.learning import Train, learn
from whet.stages.looked import Looked
from whet.stages.record import record
from whet.types import Advantage, Callback, Curriculum, Filter, Reward, Rollout, Scored, Task, Track, sampled_count

_CHECKED = 1000  # our choice: so many prompts of a finite data set are tokenized before the run


@dataclass(frozen=True)
class Tokens:
    """End a stage once this many tokens have been sampled and learned from."""

    count: float

    def __post_init__(self) -> None:
        if self.count <= 0:
            raise ValueError(f"Tokens needs a positive count, got {self.count}")


@dataclass(frozen=True)
class RL:
    """Play, score, filter, give credit, learn: for `steps` steps, or until a number of tokens.

    Each step draws `problems` problems. Where the filter keeps fewer, up to `refills` further draws fill the batch.
    `ahead` = k plays step s with the weights of step max(0, s - k): 0 is on-policy.
    """

    task: Task
    rollout: Rollout
    reward: Reward
    train: Mapping[str, Train]  # {"policy": Train(...)}: every model that learns, by name
    advantage: Advantage = field(default_factory=GroupMean)
    curriculum: Curriculum = field(default_factory=Uniform)
    filter: Filter = everything
    tracks: Sequence[Track] = ()
    callbacks: Sequence[Callback] = ()
    models: Mapping[str, Given] = field(default_factory=dict)  # what this stage adds to "policy" and "reference"
    problems: Count = 16
    refills: int = 0
    steps: int = 100
    until: Tokens | None = None
    ahead: int = 0
    save: Save = Save()
    alerts: Alerts = field(default=Alerts(), metadata={"told": False})  # thresholds of what is said aloud

    def __post_init__(self) -> None:
        for name, least in (("problems", 1), ("refills", 0), ("steps", 1), ("ahead", 0)):
            value = getattr(self, name)
            if isinstance(value, int) and value < least:
                raise ValueError(f"RL.{name} must be at least {least}, got {value}")
        if not self.train:
            raise ValueError('RL.train is empty, so nothing would learn; give it {"policy": Train(...)}')

    def trains(self) -> Sequence[str]:
        return list(self.train)

    def check(self, run: Run) -> None:
        """A draw works, and prompts fit the context: those of the first problems of the curriculum's split."""
        lm, me = run.lms["policy"], at(self, 0)
        size = me.task.size(split := getattr(me.curriculum, "split", "train"))
        drawn_P = me.curriculum.draw(me.task, int(me.problems), run.stream("check"))
        for problem in chain(drawn_P, (me.task.problem(split, i) for i in range(min(size or 0, _CHECKED)))):
            lm.codec.open(problem, lm.context)
        for callback in self.callbacks:
            if hasattr(callback, "check"):
                callback.check(run)  # type: ignore[attr-defined]

    async def experience(self, run: Run, step: int) -> tuple[list[Scored], list[Scored], float]:
        """(everything played for `step`, what of it is learned from, seconds)."""
        started, played = time.monotonic(), version(step, self.ahead)
        me, models = at(self, step, run.states(played)), run.models(played)
        scored_P: list[Scored] = []
        kept_P: list[Scored] = []
        problems = int(me.problems)
        for again in range(1 + int(me.refills)):
            drawn_P = me.curriculum.draw(me.task, problems, run.stream("draw", step, again))
            seeds = [run.stream("rollout", step, again, i) for i in range(len(drawn_P))]
            played_P = await gather(*(me.rollout(models, p, s) for p, s in zip(drawn_P, seeds, strict=True)))
            first = again * problems
            groups = [replace(g, slot=first + i) for i, groups in enumerate(played_P) for g in groups]
            for track in me.tracks:
                groups = await track(models, groups)
            scored_P += await gather(*(me.reward(models, group) for group in groups))
            kept_P = first_slots(me.filter(judged(scored_P)), problems)
            if len({scored.group.slot for scored in kept_P}) == problems:
                break
        return scored_P, kept_P, time.monotonic() - started

    def over(self, run: Run) -> bool:
        """A callback ended the stage, or its tokens are used up."""
        return bool(run.stopping or (self.until and run.tokens - run.begun >= self.until.count))

    async def __call__(self, run: Run) -> None:
        if self.over(run):  # it was killed right after its last step
            return
        async for step, (scored_P, kept_P, seconds) in ahead(
            lambda step: self.experience(run, step), run.step, self.steps, self.ahead
        ):
            started, me = time.monotonic(), at(self, step)
            metrics = {**training_metrics(scored_P), "groups/kept": len(kept_P)}
            credit = me.advantage(kept_P)
            batch, looked = collate(kept_P, credit), dict[str, Looked]()
            for name, train in me.train.items():
                if not len(rows := batch.of(train.rows or name)):
                    run.screen.warn(f"step {step}: nothing to learn from for {name!r}, no update")
                    continue
                seen = Looked(rows)
                learner, seed = run.learner(name, **train.adamw), run.stream("learn", name, step)
                learned = learn(learner, train, rows, step=step, seed=seed, looked=seen)
                looked |= {} if train.rows else {name: seen}
                metrics |= learned if name == "policy" else {f"{name}/{key}": value for key, value in learned.items()}
            run.tokens += sum(sampled_count(t) for t in chain(*(s.group.trajectories for s in scored_P)))
            record(run, step, scored_P, kept_P, credit, looked)
            for part in run.parts.values():
                if hasattr(part, "observe"):
                    part.observe(step, scored_P, metrics)
            for callback in me.callbacks:
                await callback(run, step, scored_P)
            times = {"time/play": seconds, "time/learn": time.monotonic() - started}
            run.publish(step + 1, {**metrics, "tokens": run.tokens, **times})
            if self.over(run):
                break


def first_slots(scored_P: Sequence[Scored], count: int) -> list[Scored]:
    """The groups of the first `count` drawn problems that are left, in draw order."""
    slots = sorted({scored.group.slot for scored in scored_P})[:count]
    return sorted((s for s in scored_P if s.group.slot in slots), key=lambda s: s.group.slot)
