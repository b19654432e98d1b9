"""Supervised stages: imitate worked solutions, or continue documents."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol

import torch

from whet.batching import supervised
from whet.models.codec import Codec
from whet.objectives.likelihood import Likelihood
from whet.randomness import generator
from whet.run import Run, Save
from whet.schedule import Count, at
from whet.stages.learning import Train, learn
from whet.types import ModelName, Problem, Row, Task, Trajectory


def _imitate() -> Train:
    return Train(Likelihood(), lr=4e-3, warmup=10, betas=(0.9, 0.95))


class Rows(Protocol):
    """A rollout that does not think in one context."""

    def rows(self, worked: Trajectory) -> Trajectory:
        """A worked answer in the rows in which the rollout would have come to it."""
        ...


@dataclass(frozen=True)
class SFT:
    """Imitate `problem.info["solution"]`: a text, or messages in which every assistant turn is imitated (see
    `completed` for what a tool says amid one). Each step takes `problems` problems of `split`; a finite data set goes
    by in shuffled epochs. With `like`, say `rollouts.chunked.Chunked`, the solution is imitated in the rows that this
    rollout would have made of it; each must fit the context. It ends early once the loss of a step is `enough` or less,
    in nats per token, so that models of all seeds are alike well trained, however long it took; 0: never.

    Raises ValueError unless `enough` is 0 or more.
    """

    task: Task
    steps: int = 100
    problems: Count = 64
    split: str = "train"
    train: Train = field(default_factory=_imitate)
    model: ModelName = "policy"
    like: Rows | None = None
    enough: float = 0.0
    save: Save = Save(every=100)

    def __post_init__(self) -> None:
        if not self.enough >= 0:
            raise ValueError(f"SFT.enough must be 0 or more nats per token, got {self.enough}")

    def trains(self) -> Sequence[str]:
        return [self.model]

    def check(self, run: Run) -> None:
        lm = run.lms[self.model]
        self._read(lm.codec, drawn(self.task, self.split, 1, 0, run.seed)[0], lm.context)

    async def __call__(self, run: Run) -> None:
        _supervise(self, run, self._read, "demonstration", self.enough)

    def _read(self, codec: Codec, problem: Problem, context: int) -> Trajectory:
        return worked(codec, problem, context, self.like)


@dataclass(frozen=True)
class Pretrain:
    """Continue documents: the loss is on every token but the first. A problem's prompt is the document, cut to
    the context."""

    task: Task
    steps: int = 100
    problems: Count = 64
    split: str = "train"
    train: Train = field(default_factory=_imitate)
    model: ModelName = "policy"
    save: Save = Save(every=100)

    def trains(self) -> Sequence[str]:
        return [self.model]

    def check(self, run: Run) -> None:
        document(
            run.lms[self.model].codec, drawn(self.task, self.split, 1, 0, run.seed)[0], run.lms[self.model].context
        )

    async def __call__(self, run: Run) -> None:
        _supervise(self, run, document, "document")


def _supervise(
    stage: SFT | Pretrain,
    run: Run,
    read: Callable[[Codec, Problem, int], Trajectory],
    name: str,
    enough: float = 0.0,
) -> None:
    """The steps of a supervised stage: draw, `read` as texts to imitate, learn."""
    lm = run.lms[stage.model]
    for step in range(run.step, stage.steps):
        if run.stopping:
            break
        started, me = time.monotonic(), at(stage, step)
        problems = drawn(me.task, me.split, int(me.problems), step, run.stream("draw"))
        batch = supervised([read(lm.codec, problem, lm.context) for problem in problems], name)
        learner = run.learner(me.model, **me.train.adamw)
        metrics = learn(learner, me.train, batch, step=step, seed=run.stream("learn", step))
        run.tokens += int(batch.trained.sum())
        if enough and metrics["loss"] <= enough:
            run.stop(f"the loss is {enough} or less")
        run.publish(step + 1, {**metrics, "tokens": run.tokens, "time/learn": time.monotonic() - started})


def drawn(task: Task, split: str, count: int, step: int, seed: int) -> list[Problem]:
    """The problems of one step: fresh ones from an endless task; shuffled epochs of a finite one."""
    size = task.size(split)
    if size is None:
        return [task.problem(split, int(i)) for i in generator(seed, "fresh", step).integers(0, 2**53, count)]
    out = []
    for position in range(step * count, (step + 1) * count):
        epoch, place = divmod(position, size)
        out.append(task.problem(split, int(_order(size, seed, epoch)[place])))
    return out


@lru_cache(maxsize=4)
def _order(size: int, seed: int, epoch: int) -> Any:
    return generator(seed, "epoch", epoch).permutation(size)


def worked(
    codec: Codec, problem: Problem, context: int, like: Rows | None = None, name: str = "solution"
) -> Trajectory:
    """A problem with its solution, `info[name]`, trained on what the assistant says, in the rows that `like` makes of
    it. ValueError if it has none or is too long."""
    trajectory = completed(codec, problem, context, name)
    if not trajectory.rows[-1].trained.any():
        raise ValueError(f"problem {problem.id!r}: info[{name!r}] has no assistant's turn to learn from")
    trajectory = trajectory if like is None else like.rows(trajectory)
    length = max(len(row) for row in trajectory.rows)
    if length > context:
        raise ValueError(
            f"problem {problem.id!r} with its {name} has {length} tokens and the model's context is {context}; "
            "leave long ones out, or build the model with a larger context"
        )
    return trajectory


def completed(codec: Codec, problem: Problem, context: int, name: str) -> Trajectory:
    """A problem with what `info[name]` says, text or messages, however long that is; what the assistant says is
    trained.

    A message of role None is no turn of its own: it stands as it is, untrained, amid the assistant's turn, which goes
    on with the next message. So a rollout with `Interact(role=None)` would have put it there. Each message is
    tokenized on its own, so that no token lies on both sides."""
    solution = problem.info.get(name)
    if not solution:
        raise ValueError(f"problem {problem.id!r} has no info[{name!r}] to learn from; use a task that gives one")
    trajectory = codec.open(problem, context)
    messages = [{"role": "assistant", "content": solution}] if isinstance(solution, str) else list(solution)
    for k, message in enumerate(messages):
        if message["role"] == "assistant":
            amid = k + 1 < len(messages) and messages[k + 1]["role"] is None
            trajectory = codec.answer(trajectory, message["content"], ends=not amid)
        else:
            trajectory = codec.insert(trajectory, message["content"], message["role"])
    return trajectory


def document(codec: Codec, problem: Problem, context: int) -> Trajectory:
    """A problem's prompt as a text to continue, trained from its second token on, with an end-of-sequence token."""
    if not isinstance(problem.prompt, str) or not problem.prompt:
        raise ValueError(f"problem {problem.id!r}: Pretrain reads documents, so its prompt must be a non-empty text")
    tokens = torch.tensor([*codec.tokenizer.encode(problem.prompt), codec.eos[0]][:context])
    ones, none = torch.ones(len(tokens), dtype=torch.bool), torch.zeros(len(tokens))
    trained = ones.clone()
    trained[0] = False  # nothing predicts it
    row = Row(tokens, ~ones, trained, none, torch.full((len(tokens),), -1, dtype=torch.int32))
    return Trajectory(problem, (row,))
