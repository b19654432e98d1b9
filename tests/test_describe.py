"""A description is the same in every process: resume and the cache of made models are based on it."""

from __future__ import annotations

import functools

import numpy as np
import torch

from whet.describe import describe, fingerprint
from whet.tasks.chain_sum import ChainSum


class Bare:
    """A part that is no dataclass."""

    def __call__(self) -> None: ...


class Silent:
    """One that can not be called."""


def test_objects_of_plain_classes_are_described_by_their_class() -> None:
    for kind in (Bare, Silent):
        assert describe(kind()) == {"is": f"{__name__}.{kind.__name__}"}
        assert fingerprint([kind()]) == fingerprint([kind()])


def test_no_description_holds_an_address() -> None:
    found = [
        np.random.default_rng(0),
        np.maximum,
        Bare().__call__,
        functools.partial(repr, Silent()),
        lambda: 0,
        torch.sum,
    ]
    assert "0x" not in str([describe(thing) for thing in found])


def test_functions_classes_and_components_have_their_names() -> None:
    assert describe(describe) == "describe.describe"
    assert describe(ChainSum) == "tasks.chain_sum.ChainSum"
    assert describe(ChainSum(terms=2))["is"] == "tasks.chain_sum.ChainSum"
    assert describe(ChainSum(terms=2))["terms"] == 2
    assert fingerprint(ChainSum(terms=2)) != fingerprint(ChainSum(terms=3))
