"""A supervised step on given problems, in the middle of another stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch

from whet.batching import supervised
from whet.models.codec import Codec
from whet.objectives.likelihood import Likelihood
from whet.run import Run
from whet.schedule import Count
from whet.stages.learning import Train, learn
from whet.stages.sft import worked
from whet.types import ModelName, Problem, Trajectory

_ARRAYS = ("tokens", "sampled", "trained", "logprobs", "versions")  # of a row, one entry per token


@dataclass(frozen=True)
class Imitation:
    """`train`'s passes over the solutions y of some problems x; with its defaults one update with

        loss = mean over all solution tokens t of -log pi(y_t | x, y_<t)                [nats per token]

    y is `problem.info["solution"]` behind the prompt as a rollout opens it, and the end of the turn. It may have
    `window` tokens, that end included (0: what the context holds); of a longer one the first window - 1 are imitated,
    and the end of the turn takes the last place. A solution in messages is imitated whole, as in `SFT`.

    The optimizer belongs to this imitation, not to the stage around it, and is saved and resumed with the run. A
    gradient that is not finite, or whose norm before clipping is above `largest_norm` (0: no bound), changes nothing.

    Source: ReLIFT (Ma et al. 2025, arXiv 2506.07527) and its code, where the window is the longest response, the
    learning rate that of RL, `clip_norm` 0.5, and a coefficient of 0 stands before an entropy bonus:
    `Train(WithEntropy(Likelihood(), coef))` has one.

    Raises ValueError for a window or a norm below 0, for a model that the stage around it does not train, and for
    solutions in messages that the context can not hold.
    """

    train: Train = field(default_factory=lambda: Train(Likelihood(), clip_norm=0.5))
    model: ModelName = "policy"
    window: Count = 0
    largest_norm: float = 0.0  # the paper's code has such a bound; its value is not known, so ours is none

    def __post_init__(self) -> None:
        if isinstance(self.window, int | float) and self.window < 0:
            raise ValueError(f"Imitation.window must be 0 (what the context holds) or more, got {self.window}")
        if not self.largest_norm >= 0:
            raise ValueError(f"Imitation.largest_norm must be 0 (no bound) or more, got {self.largest_norm}")

    def __call__(self, run: Run, step: int, problems: Sequence[Problem]) -> dict[str, float]:
        """Learn from the problems; what `learn` tells of it. Every one of them has a solution. None: no update, {}."""
        if not problems:
            return {}
        if self.model not in run.changing():
            trained = ", ".join(run.changing())
            raise ValueError(f"Imitation.model is {self.model!r} and this stage trains {trained}: name one of them")
        lm = run.lms[self.model]
        batch = supervised([demonstration(lm.codec, p, lm.context, int(self.window)) for p in problems])
        learner = run.learner(self.model, "imitation", **self.train.adamw, largest_norm=self.largest_norm)
        run.tokens += int(batch.trained.sum())
        return learn(learner, self.train, batch, step=step, seed=run.stream("imitation", step))


def demonstration(codec: Codec, problem: Problem, context: int, window: int = 0) -> Trajectory:
    """A problem with its solution, trained on the solution, of which `window` tokens are kept; see `Imitation`."""
    solution = problem.info["solution"]
    if not isinstance(solution, str):
        return worked(codec, problem, context)
    opened = codec.open(problem, context)
    whole = codec.answer(opened, solution)
    start = len(opened.rows[-1])
    stop = min(context, start + (window or context))
    row = whole.rows[-1]
    if len(row) <= stop:
        return whole
    kept = torch.tensor([*range(stop - 1), len(row) - 1])
    cut = replace(row, **{name: getattr(row, name)[kept] for name in _ARRAYS})
    said = replace(whole.turns[-1], text=codec.text(cut.tokens[start:]), stop=stop)
    return replace(whole, rows=(*whole.rows[:-1], cut), turns=(*whole.turns[:-1], said))
