"""Go on with a review of a film."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from whet.randomness import generator
from whet.schedule import Count, Number
from whet.tasks.lexicon import BAD, DEGREES, GOOD, PLAIN, THINGS
from whet.tasks.splits import drawn
from whet.types import Problem


@dataclass(frozen=True)
class Reviews:
    """A prompt of one sentence, "the plot was rather dull."; the solution goes on with `sentences` more. Each opinion
    is a word of `GOOD` with probability `good`, of `BAD` with probability `bad`, else a plain one.

    There is no right answer: a term such as `Mood` says what is good. Splits share no prompt. A small stand-in for the
    IMDB task of RL4LMs (Ramamurthy et al. 2022, arXiv 2210.01241). ValueError unless the probabilities fit into 1.
    """

    sentences: Count = 2
    good: Number = 0.35
    bad: Number = 0.35
    seed: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.sentences, int | float) and self.sentences < 1:
            raise ValueError(f"Reviews.sentences must be at least 1, got {self.sentences}")
        shares = [x for x in (self.good, self.bad) if isinstance(x, int | float)]
        if any(x < 0 for x in shares) or sum(shares) > 1:
            raise ValueError(f"Reviews.good and bad must be 0 or more and at most 1 together, got {shares}")

    def size(self, split: str) -> int | None:
        return None

    def problem(self, split: str, i: int) -> Problem:
        first = drawn("reviews", self.seed, split, i, self._sentence, str)
        rng = generator(self.seed, "task", "reviews solution", split, i)
        return Problem(
            id=f"reviews/{split}/{i}",
            prompt=[{"role": "user", "content": first}],
            info={"solution": " ".join(self._sentence(rng) for _ in range(int(self.sentences)))},
        )

    def _sentence(self, rng: np.random.Generator) -> str:
        thing, way = _one(rng, THINGS), rng.random()
        if way < 0.4:  # our choice: three forms, about as often
            return f"the {thing} was {_one(rng, DEGREES)} {self._opinion(rng)}."
        if way < 0.7:
            return f"the {thing} was {self._opinion(rng)} and {self._opinion(rng)}."
        return f"a {self._opinion(rng)} {thing} with a {self._opinion(rng)} {_one(rng, THINGS)}."

    def _opinion(self, rng: np.random.Generator) -> str:
        place = rng.random()
        return _one(rng, GOOD if place < self.good else BAD if place < self.good + self.bad else PLAIN)


def _one(rng: np.random.Generator, words: Sequence[str]) -> str:
    return words[int(rng.integers(len(words)))]
