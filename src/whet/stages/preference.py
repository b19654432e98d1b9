"""Preference stages: texts of which some are better than others, with no reward and nothing sampled."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Tensor

from whet.batching import supervised
from whet.engines.remote import Remote
from whet.given import Given
from whet.learners.local import Local
from whet.models.codec import Codec
from whet.objectives.pair_logistic import PairLogistic
from whet.objectives.prospect import Prospect
from whet.run import Run, Save
from whet.schedule import Count, at
from whet.stages.learning import Train, learn, measured, said
from whet.stages.sft import drawn
from whet.stages.texts import Text, check_test, due, first_problems, held_out, laid, pair, singles, strangers
from whet.types import Batch, ModelName, Problem, Task, Trajectory
from whet.weightings.sequence_mean import SequenceMean


def _in_pairs() -> Train:
    return Train(PairLogistic(), SequenceMean(), lr=5e-4, warmup=10, betas=(0.9, 0.95))


def _one_by_one() -> Train:
    return Train(Prospect(), SequenceMean(), lr=5e-4, warmup=10, betas=(0.9, 0.95))


@dataclass(frozen=True)
class Preference:
    """Prefer `problem.info["chosen"]` to `problem.info["rejected"]`: each a text, or messages of which every assistant
    turn counts. Each step takes `problems` problems of `split`; a finite data set goes by in shuffled epochs.

    A pair is one attempt of two rows, its credit 1 on the chosen text's tokens and -1 on the rejected one's, or with
    `per_token` that over the number of the text's tokens; the log-probs of `reference`, the model as it was when the
    stage began unless `models` says otherwise, are the track "reference". So DPO is `Train(PairLogistic(),
    SequenceMean())`, IPO has `PairSquare()`, and a loss on the chosen texts beside it is
    `auxiliary={"nll": Auxiliary(Likelihood(), Where("chosen"), weight)}`.

    Of a finite data set every text is scored by the reference once. With `test`, a split, the metrics of its first
    `test_problems` problems are measured every `every` steps and at the end, as "test/...".
    """

    reads_tokens: ClassVar[tuple[str, ...]] = ("reference",)

    task: Task
    steps: int = 100
    problems: Count = 32
    split: str = "train"
    train: Train = field(default_factory=_in_pairs)
    model: ModelName = "policy"
    reference: ModelName = "reference"
    models: Mapping[str, Given] = field(default_factory=dict)  # what this stage adds to "policy" and "reference"
    per_token: bool = False
    test: str = ""
    test_problems: int = 200
    every: int = 50
    save: Save = Save(every=100)

    def __post_init__(self) -> None:
        _settled(self)

    def trains(self) -> Sequence[str]:
        return [self.model]

    def check(self, run: Run) -> None:
        _check(self, run)

    async def __call__(self, run: Run) -> None:
        _prefer(self, run)

    def texts(self, codec: Codec, problem: Problem, context: int) -> list[Text]:
        return [pair(codec, problem, context, self.per_token)]

    def terms(self, run: Run, problems: Sequence[Problem], learner: Local, reference: Local) -> dict[str, float]:
        """What is the same for all texts of a batch."""
        return {}


@dataclass(frozen=True)
class Feedback:
    """Prefer texts that are good and avoid those that are bad, each by itself: a problem has `info["chosen"]`,
    `info["rejected"]`, or both; a single labelled text is a problem with one of them. What they are, and all fields,
    are as in `Preference`; so is the reference.

    KTO. Each text is an attempt, its credit 1 or -1 on all its tokens. The point z of `Prospect`, the same for all
    texts of a step, is measured before its first update, in nats, and is the batch's term "kl":

        z = max(0, mean of log pi(y | x) - log pi_ref(y | x))

    over the step's prompts x, each with the texts y of the problem that is drawn next (of the first one for the last
    prompt), cut to the context. Source: Ethayarajh et al. 2024, arXiv 2402.01306, who take it over a micro-batch, and
    so have a loss that depends on its size.

    Raises ValueError for fewer than two problems a step: there is no other prompt to put a text behind.
    """

    reads_tokens: ClassVar[tuple[str, ...]] = ("reference",)

    task: Task
    steps: int = 100
    problems: Count = 32
    split: str = "train"
    train: Train = field(default_factory=_one_by_one)
    model: ModelName = "policy"
    reference: ModelName = "reference"
    models: Mapping[str, Given] = field(default_factory=dict)
    test: str = ""
    test_problems: int = 200
    every: int = 50
    save: Save = Save(every=100)

    def __post_init__(self) -> None:
        _settled(self)
        if isinstance(self.problems, int) and self.problems < 2:
            raise ValueError(f"Feedback.problems must be at least 2, got {self.problems}: its point compares prompts")

    def trains(self) -> Sequence[str]:
        return [self.model]

    def check(self, run: Run) -> None:
        _check(self, run)

    async def __call__(self, run: Run) -> None:
        _prefer(self, run)

    def texts(self, codec: Codec, problem: Problem, context: int) -> list[Text]:
        return singles(codec, problem, context)

    def terms(self, run: Run, problems: Sequence[Problem], learner: Local, reference: Local) -> dict[str, float]:
        """The point, as things are before an update."""
        lm = run.lms[self.model]
        others = strangers(lm.codec, problems, lm.context)
        batch = supervised(others)
        apart = (said(learner, batch) - said(reference, batch)).double().sum() / len(others)
        return {"kl": max(0.0, float(apart))}


class _Reference:
    """What the reference says of texts, computed as the learner computes its own. Where the reference stays as it is
    and a finite data set goes by, each text is scored once."""

    def __init__(self, stage: Preference | Feedback, run: Run) -> None:
        self.learner = Local(run.lms[stage.reference], run.machine, **stage.train.adamw)
        self.keeps = stage.task.size(stage.split) is not None and stage.reference not in run.changing()
        self.known: dict[bytes, Tensor] = {}

    def __call__(self, texts_P: Sequence[Sequence[Text]], keep: bool = True) -> list[list[Text]]:
        """The texts with the track "reference"."""
        trajectories = [text.trajectory for texts in texts_P for text in texts]
        keys = [_key(trajectory) for trajectory in trajectories]
        known = self.known if keep and self.keeps else {}
        new = {key: t for key, t in zip(keys, trajectories, strict=True) if key not in known}
        known.update(zip(new, self._scored(list(new.values())), strict=True))
        tracks = iter([known[key] for key in keys])
        return [[_with_track(text, next(tracks)) for text in texts] for texts in texts_P]

    def _scored(self, trajectories: Sequence[Trajectory]) -> list[Tensor]:
        """[T] nats of each; 0 off the trained tokens."""
        if not trajectories:
            return []
        batch = supervised(trajectories)
        rows = [row[:n] for row, n in zip(said(self.learner, batch), batch.valid.sum(1).tolist(), strict=True)]
        counts = [len(trajectory.rows) for trajectory in trajectories]
        ends = torch.tensor(counts).cumsum(0).tolist()
        return [torch.cat(rows[end - n : end]) for end, n in zip(ends, counts, strict=True)]


def _with_track(text: Text, track: Tensor) -> Text:
    return text._replace(trajectory=replace(text.trajectory, tracks={"reference": track}))


def _key(trajectory: Trajectory) -> bytes:
    """The same for texts of the same tokens and media."""
    digest = hashlib.blake2b(digest_size=16)
    for row in trajectory.rows:
        for values in (row.tokens, row.trained, *(medium.values for medium in row.media)):
            digest.update(repr(tuple(values.shape)).encode() + values.cpu().contiguous().numpy().tobytes())
        digest.update(repr([(medium.kind, medium.start) for medium in row.media]).encode())
    return digest.digest()


def _settled(stage: Preference | Feedback) -> None:
    name = type(stage).__name__
    if stage.reference == stage.model:
        raise ValueError(f"{name} would compare {stage.model!r} with itself; name another model as its reference")
    if stage.model != "policy" and stage.reference == "reference" and "reference" not in stage.models:
        raise ValueError(
            f"{name} trains {stage.model!r}, and the reference would be a copy of 'policy'; "
            f"give models={{'reference': Copy({stage.model!r})}}"
        )
    check_test(name, stage.steps, stage.test_problems, stage.every)


def _check(stage: Preference | Feedback, run: Run) -> None:
    if isinstance(stage.models.get(stage.reference), Remote):
        raise ValueError(f"the reference {stage.reference!r} is remote: its log-probs are not here; name a local model")
    lm = run.lms[stage.model]
    for problem in first_problems(at(stage, 0), run.seed):
        stage.texts(lm.codec, problem, lm.context)


def _prefer(stage: Preference | Feedback, run: Run) -> None:
    """The steps of a preference stage: draw, read, score by the reference, learn."""
    lm, reference = run.lms[stage.model], _Reference(stage, run)

    def texts(me: Preference | Feedback, step: int) -> tuple[list[Problem], list[list[Text]]]:
        problems = drawn(me.task, me.split, int(me.problems), step, run.stream("draw"))
        return problems, [me.texts(lm.codec, problem, lm.context) for problem in problems]

    for step in range(run.step if reference.keeps else 0):
        # What was known when the run was stopped, scored in the same calls: then it goes on with the very same bits.
        if isinstance(stage.problems, int) and step * stage.problems >= (stage.task.size(stage.split) or 0):
            break
        reference(texts(at(stage, step), step)[1])
    for step in range(run.step, stage.steps):
        started, me = time.monotonic(), at(stage, step)
        learner = run.learner(me.model, **me.train.adamw)
        problems, read = texts(me, step)
        batch = _batch(me, run, problems, reference(read), learner, reference.learner)
        metrics = learn(learner, me.train, batch, step=step, seed=run.stream("learn", step))
        run.tokens += int(batch.trained.sum())
        if due(me, step):
            problems = held_out(me)
            read = reference([me.texts(lm.codec, problem, lm.context) for problem in problems], keep=False)
            test = _batch(me, run, problems, read, learner, reference.learner)
            metrics |= {f"test/{name}": value for name, value in measured(learner, me.train, test).items()}
        run.publish(step + 1, {**metrics, "tokens": run.tokens, "time/learn": time.monotonic() - started})


def _batch(
    me: Preference | Feedback,
    run: Run,
    problems: Sequence[Problem],
    texts_P: Sequence[Sequence[Text]],
    learner: Local,
    reference: Local,
) -> Batch:
    batch = laid(texts_P, "preference")
    further = me.terms(run, problems, learner, reference)
    return replace(batch, terms={**batch.terms, **{k: torch.full((len(batch),), v) for k, v in further.items()}})
