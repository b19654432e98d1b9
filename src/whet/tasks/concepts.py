"""Put given words into a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from whet.randomness import generator
from whet.schedule import Number
from whet.tasks.lexicon import BEINGS, DEEDS, OBJECTS, PLACES, PLAIN
from whet.tasks.splits import drawn
from whet.types import Problem

_KINDS = (BEINGS, DEEDS, OBJECTS, PLACES)


@dataclass(frozen=True)
class Concepts:
    """A prompt of four words in any order, "park finds dog lamp", one each of beings, deeds, objects and places, which
    are `answer`, too; the solution is a sentence with them: "the old dog finds a lamp in the park." In it each of the
    four is the word that was asked for with probability `used`, else any of its kind.

    A term such as `mentions` says how many are used. Splits share no set of words. A small stand-in for CommonGen (Lin
    et al. 2020, arXiv 1911.03705), one of the tasks of RL4LMs (Ramamurthy et al. 2022, arXiv 2210.01241). ValueError
    for a probability outside [0, 1].
    """

    used: Number = 0.6
    seed: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.used, int | float) and not 0 <= self.used <= 1:
            raise ValueError(f"Concepts.used is a probability and must lie in [0, 1], got {self.used}")

    def size(self, split: str) -> int | None:
        return None

    def problem(self, split: str, i: int) -> Problem:
        asked = drawn("concepts", self.seed, split, i, lambda rng: [_one(rng, kind) for kind in _KINDS], " ".join)
        rng = generator(self.seed, "task", "concepts solution", split, i)
        shown = " ".join(asked[k] for k in rng.permutation(len(asked)))
        return Problem(
            id=f"concepts/{split}/{i}",
            prompt=[{"role": "user", "content": shown}],
            answer=" ".join(asked),
            info={"solution": self._sentence(rng, asked)},
        )

    def _sentence(self, rng: np.random.Generator, asked: Sequence[str]) -> str:
        pairs = zip(asked, _KINDS, strict=True)
        being, deed, thing, place = [word if rng.random() < self.used else _one(rng, kind) for word, kind in pairs]
        return f"the {_one(rng, PLAIN)} {being} {deed} a {_one(rng, PLAIN)} {thing} in the {place}."


def _one(rng: np.random.Generator, words: Sequence[str]) -> str:
    return words[int(rng.integers(len(words)))]
