"""Imitate the problems that the policy can not solve, and only those, between the steps of RL."""

from __future__ import annotations

import math
from asyncio import gather
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from whet.schedule import Count, at
from whet.scoring import totals
from whet.types import Curriculum, Media, Problem, Reward, Rollout, Scored, sampled_count

_MEDIA = "whet media"  # marks a dictionary that stands for a `Media`


@dataclass(frozen=True)
class ImitateHardest:
    """A problem of this step is hard if every attempt at it failed:

        hard(x) <=> correct(y_g) < 1 for all attempts g = 1 .. G that got a verdict, of which there is one at least.

    After RL's own update hard problems that have a demonstration, `info["solution"]`, join the end of a queue, one
    entry for each time that they were drawn. If it then holds `batch` entries, the first `batch` leave it, and
    `imitate` (an `Imitation`, with an optimizer of its own) takes one supervised step on their demonstrations, and may
    refuse it: the entries are gone all the same. There is at most one such step after each of RL's, and `most` of them
    in all (0: no bound; after the last one nothing more is collected).

    `correct` is the reward term that tells right from wrong, before its weight and whatever else is rewarded. With
    `faithful` an attempt failed if its whole reward is exactly 0, as in the paper's code: there a penalty for length
    (-0.5, say) makes a group of wrong attempts look solved.

    Entries grow old. One whose problem was drawn again, and was then solved, counts as solved; it is imitated as in the
    paper's code. With `rollout` and `reward` those that leave the queue are played once more by the policy as it is
    now, and those that are solved are left out of the step.

    `instead`: problems drawn by a curriculum are imitated in place of those that leave the queue (the paper's ablation:
    as many steps, on random problems).

    Metrics, of every step:
        imitate/hard            hard ones among the problems that got a verdict
        imitate/without         hard problems that were left out because they have no demonstration
        imitate/waiting         entries in the queue, after the step
        imitate/demonstrations  demonstrations that were imitated
    of those in which the queue was full:
        imitate/solved          share of the entries that were solved by then
        imitate/waited          steps that they had waited, on average
        imitate/<name>          what learning tells: "nll", "grad_norm", "updates", ...

    Source: ReLIFT (Ma et al. 2025, "Learning What Reinforcement Learning Can't: Interleaved Online Fine-Tuning for
    Hardest Questions", arXiv 2506.07527), and its code for the queue; `batch` = 64 there.

    Raises ValueError for a batch or `most` out of range, for a rollout without a reward, for a term that the reward
    does not have, and for a problem that a checkpoint can not hold.
    """

    imitate: Any
    batch: Count = 64
    correct: str = "correct"
    faithful: bool = False
    most: int = 0
    rollout: Rollout | None = None
    reward: Reward | None = None
    instead: Curriculum | None = None
    state: dict[str, Any] = field(default_factory=lambda: {"queue": [], "steps": 0}, compare=False, repr=False)

    def __post_init__(self) -> None:
        if isinstance(self.batch, int | float) and self.batch < 1:
            raise ValueError(f"ImitateHardest.batch must be at least 1, got {self.batch}")
        if self.most < 0:
            raise ValueError(f"ImitateHardest.most must be 0 (no bound) or more, got {self.most}")
        if (self.rollout is None) != (self.reward is None):
            raise ValueError("ImitateHardest plays problems once more with `rollout` and `reward`: give both, or none")

    async def __call__(self, run: Any, step: int, scored_P: list[Scored]) -> None:
        judged = self.judged(scored_P)
        hard = [problem for problem, failed in judged if failed]
        shown = [problem for problem in hard if _has_demonstration(problem)]
        told = {"imitate/without": float(len(hard) - len(shown)), "imitate/demonstrations": 0.0}
        if judged:
            told["imitate/hard"] = len(hard) / len(judged)
        if not self.most or self.state["steps"] < self.most:
            self._queue(step, judged, shown)
            if len(self.state["queue"]) >= int(self.batch):
                told |= await self._learn(run, step)
        run.note({**told, "imitate/waiting": float(len(self.state["queue"]))})

    def judged(self, scored_P: list[Scored]) -> list[tuple[Problem, bool]]:
        """(problem, whether all failed) for each problem drawn that got a verdict, in the order of the draw. Groups
        that belong to one place of the draw are one; a text that nobody sampled is no attempt."""
        found: dict[tuple[int, str], tuple[Problem, list[bool]]] = {}
        for scored in scored_P:
            group = scored.group
            _, failed = found.setdefault((group.slot, group.problem.id), (group.problem, []))
            failed += self._failed(scored)
        return [(problem, all(failed)) for problem, failed in found.values() if failed]

    def hard(self, scored_P: list[Scored]) -> list[Problem]:
        """The problems on which every attempt failed, those without a demonstration among them."""
        return [problem for problem, failed in self.judged(scored_P) if failed]

    def _failed(self, scored: Scored) -> list[bool]:
        """Whether an attempt failed, for each one with a verdict."""
        if not self.faithful and self.correct not in scored.terms:
            known = sorted(scored.terms)
            raise ValueError(f"ImitateHardest.correct is {self.correct!r} and the terms of this reward are {known}")
        values = (totals(scored) if self.faithful else scored.terms[self.correct]).tolist()
        tried = [t.stop != "error" and sampled_count(t) > 0 for t in scored.group.trajectories]
        return [
            value == 0 if self.faithful else value < 1
            for value, real in zip(values, tried, strict=True)
            if real and not math.isnan(value)
        ]

    def _queue(self, step: int, judged: list[tuple[Problem, bool]], shown: list[Problem]) -> None:
        """Entries learn what became of their problems in this step, and those of this step join them."""
        now: dict[str, bool] = {}  # a problem drawn twice is solved where one of the two is
        for problem, failed in judged:
            now[problem.id] = now.get(problem.id, False) or not failed
        queue = [{**entry, "solved": now.get(entry["id"], entry["solved"])} for entry in self.state["queue"]]
        queue += [{"id": p.id, "step": step, "solved": False, **self._stored(p)} for p in shown]
        self.state["queue"] = queue

    async def _learn(self, run: Any, step: int) -> dict[str, float]:
        count = int(self.batch)
        taken, self.state["queue"] = self.state["queue"][:count], self.state["queue"][count:]
        self.state["steps"] += 1
        problems = [_problem(entry) for entry in taken]
        solved = [entry["solved"] for entry in taken]
        if self.instead is not None:
            task = at(run.stages[run.number].task, step)
            problems = self.instead.draw(task, count, run.stream("imitated instead", step))
            problems = [problem for problem in problems if _has_demonstration(problem)]
        elif self.rollout is not None:
            solved = await self._again(run, step, problems)
            problems = [problem for problem, right in zip(problems, solved, strict=True) if not right]
        learned = self.imitate(run, step, problems)
        return {
            **{f"imitate/{name}": value for name, value in learned.items()},
            "imitate/demonstrations": float(len(problems)),
            "imitate/solved": sum(solved) / count,
            "imitate/waited": step - sum(entry["step"] for entry in taken) / count,
        }

    async def _again(self, run: Any, step: int, problems: list[Problem]) -> list[bool]:
        """Whether the policy as it is now solves each problem."""
        assert self.rollout is not None and self.reward is not None
        rollout, reward, models = self.rollout, self.reward, run.live()

        async def solves(i: int, problem: Problem) -> bool:
            groups = await rollout(models, problem, run.stream("imitated again", step, i))
            scored_P = await gather(*(reward(models, group) for group in groups))
            run.tokens += sum(sampled_count(t) for group in groups for t in group.trajectories)
            failed = [one for scored in scored_P for one in self._failed(scored)]
            return bool(failed) and not all(failed)

        return list(await gather(*(solves(i, problem) for i, problem in enumerate(problems))))

    def _stored(self, problem: Problem) -> dict[str, Any]:
        """What of a problem is needed later, as a checkpoint can hold it. Its reward needs all, imitation little."""
        again = self.rollout is not None
        info = dict(problem.info) if again else {"solution": problem.info["solution"]}
        kept = {"prompt": problem.prompt, "answer": problem.answer if again else None, "info": info}
        try:
            return {name: _packed(value) for name, value in kept.items()}
        except TypeError as error:
            raise ValueError(
                f"problem {problem.id!r} waits to be imitated, and a checkpoint can not hold it: {error}; let the task "
                "give JSON values, tensors and Media"
            ) from error


def _has_demonstration(problem: Problem) -> bool:
    return bool(problem.info.get("solution"))


def _problem(entry: Mapping[str, Any]) -> Problem:
    return Problem(entry["id"], *(_unpacked(entry[name]) for name in ("prompt", "answer", "info")))


def _packed(value: Any) -> Any:
    """JSON values and tensors. TypeError where there are others."""
    if value is None or isinstance(value, (bool, int, torch.Tensor)):
        return value
    for plain in (float, str):  # a checkpoint can not hold numpy's own kinds of them
        if isinstance(value, plain):
            return plain(value)
    if isinstance(value, Media):
        return {_MEDIA: vars(value)}
    if isinstance(value, Mapping):
        return {str(key): _packed(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_packed(part) for part in value]
    raise TypeError(f"a part of it is of type {type(value).__name__}")


def _unpacked(value: Any) -> Any:
    if isinstance(value, Mapping):
        return Media(**value[_MEDIA]) if _MEDIA in value else {key: _unpacked(part) for key, part in value.items()}
    return [_unpacked(part) for part in value] if isinstance(value, list) else value
