"""A reward model: a scalar head that scores whole texts, learned from pairs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

import torch
from torch import Tensor

from whet.files import plain
from whet.given import Given
from whet.learners.local import Local
from whet.metrics.intervals import bootstrap
from whet.models.codec import Codec
from whet.models.derived import Copy, Critic, Follow
from whet.models.lm import save
from whet.objectives.bradley_terry import BradleyTerry
from whet.run import Run, Save
from whet.schedule import Count, at
from whet.stages.learning import Train, learn, measured, said
from whet.stages.sft import drawn
from whet.stages.texts import Text, check_test, due, first_problems, held_out, laid, pair
from whet.types import Batch, ModelName, Problem, Task
from whet.weightings.sequence_mean import SequenceMean


def _compare() -> Train:
    return Train(BradleyTerry(), SequenceMean(), lr=1e-3, warmup=10, betas=(0.9, 0.95))


def _critic() -> Mapping[str, Given]:
    return {"reward": Critic()}


@dataclass(frozen=True)
class RewardModel:
    """Score `problem.info["chosen"]` above `problem.info["rejected"]`, texts or messages as in `Preference`;
    `info["margin"]`, a number, says by how much (see `BradleyTerry`).

    The score of a text is the value before its last token, the end of the turn: the head reads the state behind the
    last word. The model is the policy as it was when the stage began with a value head, unless `models` says otherwise;
    a later stage of the same arm that names it in its own `models` goes on with it, and `rewards.learned.LearnedReward`
    asks it.

    The metrics of the first `test_problems` problems of the split `test` ("": none) are measured every `every` steps,
    as "test/...". In the end the model is written to `models/NAME` of the run's folder, which `Pretrained(folder,
    value_head=True)` loads, and its held-out accuracy with its interval to `NAME.json`, with mean and standard
    deviation of the scores of the held-out texts. `standardise` works these two into the head, so that the texts' mean
    becomes 0 and their standard deviation 1 (Ziegler et al. 2019, arXiv 1909.08593; they take the policy's
    samples).

    Raises ValueError for a model that has no value head, and for `standardise` without a `test`.
    """

    task: Task
    steps: int = 100
    problems: Count = 32
    split: str = "train"
    train: Train = field(default_factory=_compare)
    model: ModelName = "reward"
    models: Mapping[str, Given] = field(default_factory=_critic)
    test: str = "test"
    test_problems: int = 200
    every: int = 50
    standardise: bool = False
    save: Save = Save(every=100)

    def __post_init__(self) -> None:
        check_test("RewardModel", self.steps, self.test_problems, self.every)
        if self.standardise and not self.test:
            raise ValueError("RewardModel.standardise measures on held-out texts: name their split in `test`")

    def trains(self) -> Sequence[str]:
        return [self.model]

    def check(self, run: Run) -> None:
        given, lm = self.models.get(self.model), run.lms.get(self.model)
        if lm is not None:
            headless = lm.value_head is None
        else:
            headless = isinstance(given, Copy | Follow) or getattr(given, "value_head", True) is False
        if headless:
            raise ValueError(
                f"the model {self.model!r} has no value head to score with; "
                f"give models={{{self.model!r}: Critic()}}, or Pretrained(..., value_head=True)"
            )
        lm = lm or run.lms["policy"]
        for problem in first_problems(at(self, 0), run.seed):
            scored_pair(lm.codec, problem, lm.context)

    async def __call__(self, run: Run) -> None:
        lm = run.lms[self.model]
        for step in range(run.step, self.steps):
            started, me = time.monotonic(), at(self, step)
            learner = run.learner(me.model, **me.train.adamw)
            problems = drawn(me.task, me.split, int(me.problems), step, run.stream("draw"))
            batch = compared(lm.codec, problems, lm.context)
            metrics = learn(learner, me.train, batch, step=step, seed=run.stream("learn", step))
            del metrics["entropy"]  # of the language model's head, which nobody asks
            run.tokens += int(batch.valid.sum())
            if due(me, step):
                told = measured(learner, me.train, compared(lm.codec, held_out(me), lm.context))
                metrics |= {f"test/{name}": value for name, value in told.items()}
            run.publish(step + 1, {**metrics, "tokens": run.tokens, "time/learn": time.monotonic() - started})
        if self.test:
            self._judge(run, run.learner(self.model, **self.train.adamw))
        save(lm, run.folder / "models" / self.model)

    def _judge(self, run: Run, learner: Local) -> None:
        """Held-out accuracy with its interval; the head standardised if asked."""
        lm = run.lms[self.model]
        scores = said(learner, compared(lm.codec, held_out(self), lm.context), "values").sum(1).double()
        apart = scores[0::2] - scores[1::2]
        accuracy = bootstrap((apart.sign() + 1) / 2)
        mean, std = float(scores.mean()), float(scores.std(correction=0))
        told = {"split": self.test, "pairs": len(apart), "accuracy": plain(asdict(accuracy)), "mean": mean, "std": std}
        run.artifact(f"{self.model}.json", told)
        if self.standardise and std > 0:
            assert lm.value_head is not None
            with torch.no_grad():
                lm.value_head.weight.div_(std)
                lm.value_head.bias.sub_(mean).div_(std)


def scored_pair(codec: Codec, problem: Problem, context: int) -> Text:
    """A problem's two texts as one attempt, of which the last token of each row is trained."""
    trajectory, credit = pair(codec, problem, context)
    rows = tuple(replace(row, trained=_last(len(row))) for row in trajectory.rows)
    marks = torch.cat([row.trained for row in rows])
    return Text(replace(trajectory, rows=rows), credit.sign() * marks)


def compared(codec: Codec, problems: Sequence[Problem], context: int) -> Batch:
    """Pairs side by side, with the term "margin" where a problem says it."""
    batch = laid([[scored_pair(codec, problem, context)] for problem in problems], "pair")
    margins = torch.tensor([float(problem.info.get("margin", 0.0)) for problem in problems])
    return replace(batch, terms={**batch.terms, "margin": margins[batch.trajectory]})


def _last(length: int) -> Tensor:
    return torch.arange(length) == length - 1
