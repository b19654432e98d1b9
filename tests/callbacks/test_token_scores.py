"""What is told of a token-level reward model."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from helpers.examples import attempt, group, row
from helpers.model_small import shaken

from whet.callbacks.token_scores import TokenScores, auc
from whet.models.tiny import TinyQwen
from whet.types import Problem, Scored, Trajectory, Turn

LM = shaken(TinyQwen(width=32, layers=1, heads=2, kv_heads=1, context=32, alphabet="0123456789"), 0)


def test_auc_is_the_share_of_pairs_in_the_right_order() -> None:
    right = np.array([True, True, False, False])
    assert auc(np.array([3.0, 2.0, 1.0, 0.0]), right) == 1
    assert auc(np.array([0.0, 1.0, 2.0, 3.0]), right) == 0
    assert auc(np.ones(4), right) == 0.5
    assert auc(np.array([2.0, 0.0, 1.0, 1.0]), right) == 0.5


def reply(text: str, belief: list[float], wrong: list[float]) -> Trajectory:
    """A prompt of one token and one token per digit of the reply."""
    tokens = LM.codec.tokenizer.encode("7" + text, add_special_tokens=False)
    assert len(tokens) == 1 + len(text)
    tracks = {"weight/belief": torch.tensor([9.0, *belief]), "weight/wrong": torch.tensor([9.0, *wrong])}
    made = attempt(row(tokens, [0] + [1] * len(text)), tracks=tracks)
    return replace(made, turns=(Turn("prompt", "7", 0, 0, 1), Turn("policy", text, 0, 1, len(tokens))))


def nine(problem: Problem, text: str) -> int | None:
    place = text.find("9")
    return None if place < 0 else place


def told(correct: list[float], *attempts: Trajectory, **more: Any) -> dict[str, float]:
    noted: dict[str, float] = {}
    run = SimpleNamespace(lms={"policy": LM}, note=noted.update)
    scored = Scored(group(*attempts), tuple(torch.zeros(1) for _ in attempts), {"correct": torch.tensor(correct)})
    asyncio.run(TokenScores(nine, **more)(run, 0, [scored]))
    return noted


RIGHT = reply("123", [0.5, 0.6, 0.7], [0.0, 0.0, 0.0])
WRONG = reply("1293", [0.5, 0.5, 0.3, 0.2], [0.0, 0.2, 0.4, 0.6])
ODD = reply("12", [0.5, 0.8], [0.3, 0.3])  # wrong, but nobody sees where
EARLY = reply("91", [0.3, 0.3], [0.9, 0.9])  # wrong from its first token on: no token is before


def test_weights_before_and_after_the_first_error_are_told() -> None:
    found = told([1.0, 0.0, 0.0, 0.0], RIGHT, WRONG, ODD, EARLY)
    assert found == {
        "score/auc": pytest.approx(2 / 3),
        "score/before": pytest.approx(0.1),
        "score/after": pytest.approx(0.5),
        "score/rise": pytest.approx(0.4),
    }


def test_right_replies_and_those_without_a_verdict_are_not_asked_for_errors() -> None:
    assert told([1.0, math.nan, 1.0], RIGHT, WRONG, WRONG) == {}


def test_without_a_track_it_says_what_to_add() -> None:
    with pytest.raises(ValueError, match="TokenWeights"):
        told([1.0], replace(RIGHT, tracks={}))
