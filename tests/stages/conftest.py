"""A batch to learn from, and a model that learns."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from helpers.examples import attempt, group, row, scored
from helpers.model_small import shaken
from helpers.runs import SMALL

from whet.batching import collate
from whet.models.lm import LM
from whet.types import Batch, Credit, joined

LENGTHS = [[(5,), (3, 6)], [(9,), (4,), (7,)], [(6,), (8,)]]  # groups of attempts of rows
CORRECT = [[1.0, 0.0], [0.0, math.nan, 1.0], [0.0, 1.0]]


@pytest.fixture
def lm() -> LM:
    return shaken(SMALL)


@pytest.fixture
def batch() -> Batch:
    """Attempts of unlike lengths, whose old log-probs are far from the model's, so that a part of them is clipped."""
    draws = torch.Generator().manual_seed(3)
    groups, credit = [], []
    for g, (lengths, correct) in enumerate(zip(LENGTHS, CORRECT, strict=True)):
        made = []
        for rows in lengths:
            tokens = [torch.randint(3, 100, (n,), generator=draws).tolist() for n in rows]
            made.append(attempt(*(row(t, [0, 0] + [1] * (len(t) - 2), logprob=-4.5) for t in tokens), problem=str(g)))
        one = scored(group(*made, slot=g), [0.0] * len(made))
        groups.append(replace(one, terms={"correct": torch.tensor(correct)}))
        credit.append([torch.full((len(joined(t, "tokens")),), 1.0 - i) for i, t in enumerate(made)])
    return collate(groups, Credit(credit))
