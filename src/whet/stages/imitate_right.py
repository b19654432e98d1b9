"""Imitate what a trained model got right, from where the run began: positive sampling."""

from __future__ import annotations

import time
from asyncio import gather
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from whet.batching import supervised
from whet.given import Given
from whet.models.derived import Copy, Start
from whet.objectives.likelihood import Likelihood
from whet.rollouts.sample import Sample
from whet.run import Run, Save
from whet.schedule import Count, Number, at
from whet.stages.imitation import demonstration
from whet.stages.learning import Train, learn
from whet.stages.positives import positives
from whet.stages.sft import drawn
from whet.types import Problem, Reward, Rollout, Scored, Task, sampled_count


@dataclass(frozen=True)
class ImitateRight:
    """Begin anew, and learn from nothing but one's own later successes: the policy that comes into this stage stays as
    it is as "writer", the policy is set back to what it was when the run began, and each step imitates

        positives(attempts of "writer" at `problems` fresh problems)

    which is up to `most` right and different attempts at each (`stages.positives`, for `below` and `correct`), by
    `train`. How much of a stage's gain its right attempts hold is what this shows after RL.

    `rollout` must play the model "writer". A step without a right attempt learns nothing. The writer's tokens are
    counted in "tokens", imitated ones are not counted again. Metrics of each step: positives, the texts imitated;
    positives/right, the share of attempts that were right; positives/problems, the problems that had one.

    Source: the positive sampling of CogniSQL-R1-Zero (2025), a corpus of up to six paths of reasoning for each query.
    That each problem is drawn once, and not in epochs over a stored corpus, is our choice: the writer does not change,
    so the corpus is the same as one sampled beforehand. Raises ValueError for steps or problems below 1, and for a
    rollout that plays another model.
    """

    task: Task
    reward: Reward
    rollout: Rollout = field(default_factory=lambda: Sample(model="writer"))
    train: Train = field(default_factory=lambda: Train(Likelihood()))
    most: Count = 6
    below: Number = 0.7
    correct: str = "correct"
    problems: Count = 16
    steps: int = 100
    split: str = "train"
    models: Mapping[str, Given] = field(default_factory=lambda: {"writer": Copy(), "start": Start()})
    save: Save = Save()

    def __post_init__(self) -> None:
        for name in ("problems", "steps"):
            value = getattr(self, name)
            if isinstance(value, int) and value < 1:
                raise ValueError(f"ImitateRight.{name} must be at least 1, got {value}")
        if (player := getattr(self.rollout, "model", "writer")) != "writer":
            raise ValueError(f'ImitateRight.rollout must play the model "writer", got {player!r}')

    def trains(self) -> Sequence[str]:
        return ["policy"]

    def check(self, run: Run) -> None:
        """Prompts fit the context."""
        lm = run.lms["policy"]
        for problem in drawn(self.task, self.split, int(at(self, 0).problems), 0, run.seed):
            lm.codec.open(problem, lm.context)

    async def played(self, run: Run, step: int) -> list[Scored]:
        """The writer's attempts at the problems of a step."""
        me, models = at(self, step), run.models()
        problems = drawn(me.task, me.split, int(me.problems), step, run.stream("draw"))
        seeds = [run.stream("rollout", step, i) for i in range(len(problems))]
        groups = await gather(*(me.rollout(models, p, s) for p, s in zip(problems, seeds, strict=True)))
        return list(await gather(*(me.reward(models, group) for made in groups for group in made)))

    async def __call__(self, run: Run) -> None:
        lm = run.lms["policy"]
        if not run.step:
            lm.put(run.lms["start"].weights())
        for step in range(run.step, self.steps):
            if run.stopping:
                break
            started, me = time.monotonic(), at(self, step)
            scored_P = await self.played(run, step)
            texts = positives(scored_P, int(me.most), float(me.below), me.correct)
            metrics = told(scored_P, texts, me.correct)
            played = time.monotonic()
            if texts:
                batch = supervised([demonstration(lm.codec, text, lm.context) for text in texts], "positive")
                learner = run.learner("policy", **me.train.adamw)
                metrics |= learn(learner, me.train, batch, step=step, seed=run.stream("learn", step))
            run.tokens += sum(sampled_count(t) for scored in scored_P for t in scored.group.trajectories)
            times = {"time/play": played - started, "time/learn": time.monotonic() - played}
            run.publish(step + 1, {**metrics, "tokens": run.tokens, **times})


def told(scored_P: Sequence[Scored], texts: Sequence[Problem], correct: str) -> dict[str, float]:
    """What a step's positives say of the writer; see `ImitateRight`."""
    verdicts = [value >= 1 for scored in scored_P for value in scored.terms[correct].tolist() if value == value]
    return {
        "positives": float(len(texts)),
        "positives/right": sum(verdicts) / max(len(verdicts), 1),
        "positives/problems": float(len({text.id for text in texts})),
    }
