"""What every component promises, and how a broken promise is told."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import json
import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from whet.describe import describe, named

SEEDS = range(3)  # our choice


class ContractError(AssertionError):
    """A component breaks a promise; the message says which."""


def label(thing: Any) -> str:
    return named(thing if inspect.isfunction(thing) or inspect.isclass(thing) else type(thing))


def hold(promise: bool, thing: Any, sentence: str) -> None:
    if not promise:
        raise ContractError(f"{label(thing)}: {sentence}")


def portable(thing: Any) -> None:
    """Pickling, deep copies and a description; dataclasses are frozen."""
    if dataclasses.is_dataclass(thing) and not isinstance(thing, type):
        frozen = type(thing).__dataclass_params__.frozen  # type: ignore[attr-defined]
        hold(frozen, thing, "a component is a frozen dataclass; add frozen=True")
    try:
        twins = [pickle.loads(pickle.dumps(thing)), copy.deepcopy(thing)]
    except Exception as error:
        sentence = f"it can not be pickled or copied ({error}); define it at the top level of a module"
        raise ContractError(f"{label(thing)}: {sentence}") from error
    try:
        told = json.dumps(describe(thing), sort_keys=True)
    except (TypeError, ValueError) as error:
        raise ContractError(f"{label(thing)}: `describe` does not give JSON values ({error})") from error
    same = all(json.dumps(describe(twin), sort_keys=True) == told for twin in twins)
    hold(same, thing, "a pickled or copied twin is described differently")


@contextmanager
def untouched(thing: Any, *inputs: Any) -> Iterator[None]:
    before = copy.deepcopy(inputs)
    yield
    hold(same(before, inputs), thing, "it changes its inputs in place")


def same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return a.shape == b.shape and a.dtype == b.dtype and bool(torch.equal(a.nan_to_num(), b.nan_to_num()))
    if dataclasses.is_dataclass(a) and not isinstance(a, type):
        return same(vars(a), vars(b))
    if isinstance(a, Mapping):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return a == b


def near(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and bool(torch.allclose(a.double(), b.double(), rtol=1e-4, atol=1e-6, equal_nan=True))
