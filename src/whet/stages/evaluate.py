"""How good a model is: several attempts at each held-out problem, with intervals."""

from __future__ import annotations

from asyncio import gather
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from whet.given import Given
from whet.metrics.evaluation import per_problem
from whet.randomness import stream
from whet.run import Run
from whet.scoring import judged, totals
from whet.types import Models, Problem, Reward, Rollout, Scored, Task, sampled_count


@dataclass(frozen=True)
class Evaluate:
    """The first `problems` problems of a split, each attempted as `rollout` says, scored by `reward`.

    Right means that the term `correct` gave 1. Writes `evaluations/NAME.json`, with every term's value of every attempt
    and their weighted sum "reward". Problems and streams are the same every time, so evaluations of two models can be
    paired. `models`: what the rollout and the terms ask beside the policy, such as the policy as it was in the
    beginning, `{"start": Start()}`.
    """

    task: Task
    rollout: Rollout
    reward: Reward
    name: str = "test"
    split: str = "test"
    problems: int = 200
    correct: str = "correct"
    models: Mapping[str, Given] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.problems < 2:
            raise ValueError(f"Evaluate.problems must be at least 2 for an interval, got {self.problems}")

    def trains(self) -> list[str]:
        return []

    def check(self, run: Run) -> None:
        """All prompts fit the context."""
        lm = run.lms["policy"]
        for problem in self.asked():
            lm.codec.open(problem, lm.context)

    async def __call__(self, run: Run) -> None:
        await self.measure(run, run.models(), self.name)

    async def measure(self, run: Run, models: Models, name: str) -> dict[str, np.ndarray]:
        """Play, judge, and write `evaluations/NAME.json`. {"pass@k", "length": [P]}: one number per problem."""
        scored_P = await self.play(models, run.seed)
        correct, lengths = self.judge(scored_P)
        problems = [scored.group.problem.id for scored in scored_P]
        run.artifact(
            f"evaluations/{name}.json",
            {
                "problems": problems,
                "correct": correct,
                "lengths": lengths,
                "terms": terms(scored_P),
                "samples": samples(scored_P),
            },
        )
        return per_problem(correct, lengths)

    def asked(self) -> list[Problem]:
        """The first `problems` problems of the split, or all where there are fewer."""
        size = self.task.size(self.split)
        count = self.problems if size is None else min(size, self.problems)
        return [self.task.problem(self.split, i) for i in range(count)]

    async def play(self, models: Models, seed: int) -> list[Scored]:
        """Attempts at each problem; independent of the step and of which model plays."""
        problems = self.asked()
        seeds = [stream(seed, "evaluate", self.split, i) for i in range(len(problems))]
        groups_P = await gather(*(self.rollout(models, p, s) for p, s in zip(problems, seeds, strict=True)))
        flat = [replace(group, slot=i) for i, groups in enumerate(groups_P) for group in groups]
        return list(await gather(*(self.reward(models, group) for group in flat)))

    def judge(self, scored_P: list[Scored]) -> tuple[np.ndarray, np.ndarray]:
        """([P, n] 1 right, 0 not, NaN no verdict; [P, n] sampled tokens), problems in order."""
        n = max(len(s.group.trajectories) for s in scored_P)
        correct, lengths = np.full((len(scored_P), n), np.nan), np.full((len(scored_P), n), np.nan)
        for p, scored in enumerate(scored_P):
            if self.correct not in scored.terms:
                raise ValueError(
                    f"Evaluate.correct names no term: {self.correct!r} is not among {sorted(scored.terms)}"
                )
            for g, trajectory in enumerate(scored.group.trajectories):
                value = float(scored.terms[self.correct][g])
                correct[p, g] = np.nan if trajectory.stop == "error" or np.isnan(value) else float(value >= 1)
                lengths[p, g] = sampled_count(trajectory)
        return correct, lengths


def terms(scored_P: list[Scored]) -> dict[str, np.ndarray]:
    """{"reward" and every term: [P, n]}, NaN where there is no such attempt or no verdict."""
    n = max(len(s.group.trajectories) for s in scored_P)
    names = dict.fromkeys(["reward", *(name for scored in scored_P for name in scored.terms)])
    found = {name: np.full((len(scored_P), n), np.nan) for name in names}
    for p, scored in enumerate(scored_P):
        for name, values in {**scored.terms, "reward": totals(scored)}.items():
            found[name][p, : len(values)] = values.numpy()
    return found


def samples(scored_P: list[Scored], count: int = 3) -> list[Mapping[str, Any]]:
    """The first attempts at the first problems, for people."""
    return [
        {
            "problem": scored.group.problem.id,
            "prompt": next((t.text for t in scored.group.trajectories[0].turns if t.role == "prompt"), ""),
            "text": "".join(t.text for t in scored.group.trajectories[0].turns if t.role != "prompt"),
            "answer": scored.group.problem.answer,
            "reward": float(scored.rewards[0].sum()),
            "terms": {name: float(values[0]) for name, values in scored.terms.items()},
        }
        for scored in judged(scored_P)[:count]
    ]
