"""Which questions are held out.

A made question belongs to one split for ever: the split is a hash of the question itself, so two splits can not share
a question, whatever the task's seed or size, and a question of another difficulty can not leak either.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from whet.randomness import generator

T = TypeVar("T")

SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}  # our choice
REDRAWS = 2000  # our choice: a split that holds 1 % of what is drawn is missed 2000 times with probability 2e-9


def split_of(question: str) -> str:
    """The split that owns `question`: its hash in [0, 1) falls into "train" (80 %), "validation" or "test" (10 %)."""
    digest = hashlib.blake2b(question.encode(), digest_size=8, person=b"whet split").digest()
    place = int.from_bytes(digest, "little") / 2**64
    for split, share in SHARES.items():
        if place < share:
            return split
        place -= share
    return "test"


def held_out(questions: Sequence[str], splits: Sequence[str], share: float) -> dict[str, list[int]]:
    """{split: places} of a fixed list of questions: each of `splits` holds out the share `share` of the distinct ones,
    by their hash (at least one, while any is left), and "train" is the rest: equal questions never part."""
    places = [_place(question) for question in questions]
    distinct = sorted(set(places))
    chosen, taken = {}, 0
    for k, split in enumerate(splits, 1):
        below = sum(place < k * share for place in distinct)
        room = len(distinct) - taken - 1 - (len(splits) - k)  # one each for the splits to come and for "train"
        count = max(0, min(max(below - taken, 1), room)) if share else 0
        chosen[split] = set(distinct[taken : taken + count])
        taken += count
    chosen["train"] = set(distinct[taken:])
    return {split: [k for k, place in enumerate(places) if place in those] for split, those in chosen.items()}


def _place(question: str) -> float:
    digest = hashlib.blake2b(question.strip().encode(errors="replace"), digest_size=8, person=b"whet rows").digest()
    return int.from_bytes(digest, "little") / 2**64


def check_place(task: str, split: str, i: int) -> None:
    """ValueError for a split that procedural tasks do not have, or an index below 0."""
    if split not in SHARES:
        raise ValueError(f"{task} has no split {split!r}: ask for one of {', '.join(SHARES)}")
    if i < 0:
        raise ValueError(f"{task}: problems are numbered from 0, got {i}")


def drawn(
    task: str, seed: int, split: str, i: int, draw: Callable[[np.random.Generator], T], question: Callable[[T], str]
) -> T:
    """The first of `draw(rng)`, `draw(rng)`, ... whose `question` belongs to `split`; pure in (task, seed, split, i).

    `question` gives what makes two draws the same question: the prompt, or less (numbers in any order, say).
    ValueError when `REDRAWS` draws in a row belong elsewhere: the settings make too few different questions.
    """
    check_place(task, split, i)
    rng = generator(seed, "task", task, split, i)
    for _ in range(REDRAWS):
        made = draw(rng)
        if split_of(question(made)) == split:
            return made
    raise ValueError(
        f"{task} makes too few different questions to hold some out: none of {REDRAWS} draws was for the {split!r} "
        "split; use larger settings"
    )


def worked(thought: str, answer: str) -> str:
    """A completion to imitate; without a thought the bare answer."""
    return (f"<think>{thought}</think>" if thought else "") + f"<answer>{answer}</answer>"


def span(name: str, value: int | tuple[int, int], least: int) -> tuple[int, int]:
    """An inclusive range given as `n` or `(low, high)`. ValueError unless least <= low <= high."""
    pair = (value, value) if isinstance(value, int) else tuple(value)
    if len(pair) != 2 or not all(isinstance(n, int) for n in pair) or not least <= pair[0] <= pair[1]:
        raise ValueError(f"{name} must be a number or a range (low, high) of numbers from {least}, got {value!r}")
    return pair[0], pair[1]


def pick(rng: np.random.Generator, low: int, high: int) -> int:
    """An integer of low .. high, both included."""
    return int(rng.integers(low, high, endpoint=True))
