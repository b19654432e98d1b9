"""Supervised steps between RL's: problems that nobody could solve wait until there are enough of them to imitate."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from helpers.examples import attempt, group, row, scored
from helpers.shapes import Letters, go, killed, metrics, never, same

from whet.advantages.group_mean import GroupMean
from whet.batching import supervised
from whet.objectives.clip import Clip
from whet.objectives.likelihood import Likelihood
from whet.rollouts.sample import Sample
from whet.run import Run, Save
from whet.scoring import Weighted
from whet.stages.learning import Train, learn
from whet.stages.rl import RL
from whet.stages.sft import worked
from whet.types import Decoding, Problem, Scored


@dataclass(frozen=True)
class ImitateHardest:
    """Problems whose attempts all have `term` = 0 join a queue; once it holds `batch` of them, one supervised step on
    the solutions of the first `batch`, which leave it. The optimizer is another than RL's."""

    batch: int
    term: str = "correct"
    train: Train = field(default_factory=lambda: Train(Likelihood(), lr=1e-2))
    state: dict[str, Any] = field(default_factory=lambda: {"queue": []}, compare=False, repr=False)

    def hard(self, scored_P: list[Scored]) -> list[Problem]:
        return [s.group.problem for s in scored_P if not s.terms[self.term].any() and s.group.problem.info]

    async def __call__(self, run: Run, step: int, scored_P: list[Scored]) -> None:
        queue = self.state["queue"]
        queue += [[p.id, p.prompt, p.info["solution"]] for p in self.hard(scored_P)]
        if len(queue) >= self.batch:
            lm, taken = run.lms["policy"], [queue.pop(0) for _ in range(self.batch)]
            problems = [Problem(name, prompt, info={"solution": text}) for name, prompt, text in taken]
            batch = supervised([worked(lm.codec, problem, lm.context) for problem in problems])
            learner = run.learner("policy", slot="sft", **self.train.adamw)
            told = learn(learner, self.train, batch, step=step, seed=run.stream("sft", step))
            run.note({f"sft/{name}": value for name, value in told.items()})


def stage(ahead: int = 0) -> RL:
    """One problem a step, and no attempt is ever right: every third step is followed by a supervised one."""
    rollout = Sample(group=2, decoding=Decoding(max_tokens=3))
    train = {"policy": Train(Clip(), lr=1e-2)}
    return RL(
        Letters(),
        rollout,
        Weighted({"correct": never}),
        train,
        callbacks=[ImitateHardest(batch=3)],
        problems=1,
        steps=6,
        ahead=ahead,
        save=Save(every=1),
    )


def test_hard_problems_are_imitated_with_an_optimizer_of_their_own(tmp_path: Path):
    optimizers: list[dict[str, float]] = []

    async def look(run: Run, step: int, scored_P: list[Scored]) -> None:
        told = {name: learner.optimizer.state_dict()["state"] for name, learner in run.learners.items()}
        optimizers.append({name: float(state[0]["step"]) for name, state in told.items()})

    one = stage()
    go(tmp_path, RL(**{**vars(one), "callbacks": [*one.callbacks, look]}))
    lines = metrics(tmp_path)
    assert [line["step"] for line in lines if "sft/nll" in line] == [2, 5]
    assert lines[5]["sft/nll"] < lines[2]["sft/nll"]
    assert [told["policy"] for told in optimizers] == [1, 2, 3, 4, 5, 6]
    assert [told.get("policy/sft", 0) for told in optimizers] == [0, 0, 1, 1, 1, 2]


@pytest.mark.parametrize(("at", "ahead"), [((2,), 0), ((3, 4), 0), ((5, 5), 0), ((3, 4), 2)])
def test_a_run_killed_between_supervised_steps_goes_on_the_same(tmp_path: Path, at: tuple[int, ...], ahead: int):
    whole = go(tmp_path / "whole", stage(ahead)).lms["policy"].state_dict()
    broken = killed(tmp_path / "broken", lambda: stage(ahead), at).lms["policy"].state_dict()
    assert same(tmp_path / "whole", tmp_path / "broken")
    assert all(value.equal(broken[name]) for name, value in whole.items())


def test_hard_means_that_every_attempt_failed():
    def one(rewards: list[float], name: str) -> Scored:
        attempts = [attempt(row([1, 2], [0, 1]), problem=name) for _ in rewards]
        g = group(*attempts)
        problem = Problem(name, "?", info={"solution": "s"})
        return scored(type(g)(problem, g.trajectories), rewards)

    rewards = ([0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0])
    scored_P = [one(r, str(i)) for i, r in enumerate(rewards)]
    assert [p.id for p in ImitateHardest(2).hard(scored_P)] == ["0", "2"]
    credit = GroupMean(std="none")(scored_P).advantages
    assert [round(float(a[1]), 6) for a in credit[1]] == [0.666667, -0.333333, -0.333333]
    assert all(float(a.abs().sum()) == 0 for p in (0, 2, 3) for a in credit[p])
