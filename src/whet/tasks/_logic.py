"""What the families of `whet.tasks.logic` share: the form of a puzzle, and shuffling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

T = TypeVar("T")
LETTERS = "abcdefghij"


class Made(NamedTuple):
    """One puzzle. `gold`: what the verifier `logic` judges by; `wrong`: answers that it must not take."""

    question: str
    steps: str
    answer: str
    gold: Mapping[str, Any]
    wrong: tuple[str, ...]


def shuffled(rng: np.random.Generator, items: Sequence[T]) -> list[T]:
    return [items[int(k)] for k in rng.permutation(len(items))]
