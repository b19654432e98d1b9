"""Right for the right reasons, step by step."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest
import torch
from helpers.examples import attempt, row

from whet.callbacks.sound_share import SoundShare
from whet.types import Group, Problem, Scored


class Notes:
    def __init__(self) -> None:
        self.held: dict[str, float] = {}

    def note(self, values: dict[str, float]) -> None:
        self.held |= values


def scored(**terms: list[float]) -> Scored:
    tries = tuple(attempt(row([1, 2], [0, 1])) for _ in next(iter(terms.values())))
    named = {name: torch.tensor(values) for name, values in terms.items()}
    return Scored(Group(Problem("p", "?"), tries), tuple(torch.zeros(2) for _ in tries), named)


def told(*scored_P: Scored) -> dict[str, Any]:
    notes = Notes()
    asyncio.run(SoundShare()(notes, 0, list(scored_P)))
    return notes.held


def test_shares_are_over_all_attempts_of_the_step() -> None:
    found = told(scored(correct=[1, 1, 0, 0], reasoned=[1, 0, 1, 0]), scored(correct=[1, 0], reasoned=[1, 0]))
    assert found == pytest.approx({"sound/share": 2 / 3, "sound/right": 2 / 6, "sound/lucky": 1 / 3})


def test_what_there_is_nothing_to_say_of_is_left_out() -> None:
    assert told(scored(correct=[0, 0], reasoned=[0, 0])) == {"sound/right": 0, "sound/lucky": 0}
    assert told(scored(correct=[1, math.nan], reasoned=[1, 0])) == {"sound/share": 1, "sound/right": 1}
    assert told() == {}


def test_a_reward_without_the_term_is_refused() -> None:
    with pytest.raises(ValueError, match="'reasoned'"):
        told(scored(correct=[1.0]))
