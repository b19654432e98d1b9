"""The data sets of reasoning-gym as tasks (extra `tasks`)."""

from __future__ import annotations

import contextlib
import difflib
import io
import json
import os
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from whet.tasks.splits import check_place, drawn, pick, worked
from whet.types import Problem

# Their items depend on the order of Python sets, which changes with every process unless the hash seed is fixed.
HASH_ORDERED = (
    "isomorphic_strings",
    "knight_swap",
    "polynomial_multiplication",
    "ransom_note",
    "word_ladder",
)
# Data sets that are not taken, and why.
REFUSED = {
    "composite": 'it is a mixture; use Mixture({"a": Gym(...), "b": Gym(...)})',
    "codeio": "its items come from running collected programs inside this process, where they write files; use another",
}
SEEDS = 2**31  # our choice: item seeds lie below; some generators refuse 2**32 and more


@dataclass(frozen=True)
class Gym:
    """The reasoning-gym data set `name` made with `config`, endless, with splits that share no question.

    reasoning-gym seeds an item with seed + index, so that two seeds share nearly all items; here each item has a seed
    from its own stream, and a question belongs to a split by its hash (`splits.split_of`). The answer is the JSON text
    {"dataset", "config", "entry": {"question", "answer", "metadata"}} that the verifier `reasoning_gym` scores with the
    data set's own rules (tuples have become lists). `info["solution"]` is missing where a data set gives no answer.

    ImportError without the extra; ValueError for an unknown name, a config the data set refuses, the two of `REFUSED`,
    a data set of `HASH_ORDERED` unless PYTHONHASHSEED is fixed, and, from `problem`, one with too few
    different questions to hold some out. A held-out problem costs ten draws on average: seconds of futoshiki and
    knight_swap, milliseconds of nearly all others.
    """

    name: str = "chain_sum"
    config: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0

    def __post_init__(self) -> None:
        known = names()
        if self.name in REFUSED:
            raise ValueError(f"Gym.name: {self.name!r} is not taken: {REFUSED[self.name]}")
        if self.name not in known:
            near = difflib.get_close_matches(self.name, known, 3) or known
            raise ValueError(f"Gym.name: reasoning-gym has no {self.name!r}; nearest: {', '.join(near)}")
        if "seed" in self.config or "size" in self.config:
            raise ValueError("Gym.config must not hold seed or size: problems have their own seeds; use Gym.seed")
        if self.name in HASH_ORDERED and not os.environ.get("PYTHONHASHSEED", "random").isdigit():
            raise ValueError(
                f"Gym({self.name!r}) makes other problems in every process, as it depends on the order of Python sets: "
                "start Python with the environment variable PYTHONHASHSEED=0"
            )
        _dataset(self.name, self._settings())

    def size(self, split: str) -> int | None:
        return None

    def problem(self, split: str, i: int) -> Problem:
        check_place(f"Gym({self.name!r})", split, i)
        with _untouched():
            entry = drawn(f"gym/{self.name}", self.seed, split, i, self._draw, lambda made: made["question"])
        entry = {key: entry[key] for key in ("question", "answer", "metadata")}
        gold = {"dataset": self.name, "config": dict(self.config), "entry": entry}
        answer = entry["answer"]
        return Problem(
            id=f"gym/{self.name}/{split}/{i}",
            prompt=[{"role": "user", "content": entry["question"]}],
            answer=json.dumps(gold, default=_plain),
            info={} if answer is None else {"solution": worked("", str(answer))},
        )

    def _draw(self, rng: np.random.Generator) -> dict[str, Any]:
        return self._item(pick(rng, 0, SEEDS - 1))

    def _item(self, seed: int) -> dict[str, Any]:
        """The item with its own `seed`, the global generators seeded with it, too."""
        random.seed(seed)
        np.random.seed(seed)
        try:  # item k of the data set with seed 0 is item 0 of the one with seed k, and many are slow to set up
            return _dataset(self.name, self._settings())[seed]
        except IndexError:  # those that lay out `size` items in advance
            return _create(self.name, self._settings(), seed)[0]

    def _settings(self) -> str:
        try:
            return json.dumps(dict(self.config), sort_keys=True)
        except TypeError as error:
            raise ValueError(f"Gym.config must hold JSON values only, got {self.config!r}: {error}") from error


def names() -> list[str]:
    """The data sets there are. ImportError says which extra to install."""
    try:
        from reasoning_gym.factory import DATASETS
    except ImportError as error:
        raise ImportError('reasoning-gym is not installed; run: pip install "whet[tasks]"') from error
    return sorted(DATASETS)


@lru_cache(maxsize=16)
def _dataset(name: str, settings: str) -> Any:
    made = _create(name, settings, 0)
    made.size = SEEDS  # some look whether an index lies below it
    return made


def _create(name: str, settings: str, seed: int) -> Any:
    from reasoning_gym.factory import create_dataset

    try:
        return create_dataset(name, **json.loads(settings), seed=seed, size=1)
    except (AssertionError, TypeError, ValueError) as error:
        raise ValueError(f"Gym({name!r}): reasoning-gym refuses the config {settings}: {error}") from error


@contextlib.contextmanager
def _untouched() -> Iterator[None]:
    """Some data sets print, or use the global random generators: neither may reach the run."""
    ours, numpys = random.getstate(), np.random.get_state()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        random.setstate(ours)
        np.random.set_state(numpys)


def _plain(value: Any) -> Any:
    """JSON for what json does not know: numpy numbers and arrays, sets in order, anything else as text."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, set | frozenset):
        return sorted(value, key=repr)
    return str(value)
