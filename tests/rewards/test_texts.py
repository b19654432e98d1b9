"""Terms that look at the words of an attempt, or at its tokens: counting up, mood, variety, fluency."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from helpers.shapes import tiny
from hypothesis import given
from hypothesis import strategies as st

from whet.engines.native import Native
from whet.randomness import stream
from whet.rewards.distinct import Distinct
from whet.rewards.fluency import Fluency
from whet.rewards.mood import Mood
from whet.rewards.rising import Rising
from whet.types import Decoding, Group, Problem, Trajectory

Made = Callable[..., Group]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 2 3 2 5", 0.3),
        ("a b", 0.0),
        ("", 0.0),
        ("5", 0.1),
        ("1 1 2", 0.1),  # strictly
        ("1 x 2", 0.2),  # a word is passed over
        (" ".join(map(str, range(20))), 1.0),
        (" ".join(map(str, range(10))), 1.0),  # half of the least is enough
        ("9 8 " + "x " * 18, 0.05),  # words count
        ("2 3. 4", 0.2),  # "3." is no number
    ],
)
def test_leading_rising_numbers_by_words_but_at_least_half_of_the_least(texts: Made, text: str, value: float):
    assert Rising(20)(texts(text)).tolist() == pytest.approx([value])


@given(numbers=st.lists(st.integers(0, 99), max_size=30), least=st.integers(0, 40))
def test_rising_is_a_share_and_1_where_all_rise(texts: Made, numbers: list[int], least: int):
    (value,) = Rising(least)(texts(" ".join(map(str, numbers)))).tolist()
    assert 0 <= value <= 1
    rises = all(a < b for a, b in pairwise(numbers))
    assert (value == 1) == (bool(numbers) and rises and len(numbers) >= least / 2)


def test_a_least_below_0_is_refused():
    with pytest.raises(ValueError, match=r"Rising.least"):
        Rising(-1)


def test_mood_is_a_half_without_such_words_and_looks_at_whole_words(texts: Made):
    mood = Mood(good=("warm", "fine"), bad=("dull",))
    group = texts("", "the plot was warm.", "warm and fine", "Warm, but dull dull", "warmly", "dull")
    logistic = [1 / (1 + math.exp(-score)) for score in (0, 1, 2, -1, 0, -1)]
    assert mood(group).tolist() == pytest.approx(logistic)


@pytest.mark.parametrize(("good", "bad"), [((), ("dull",)), (("fine",), ()), (("fine", "dull"), ("dull",))])
def test_lists_that_are_empty_or_overlap_are_refused(good: tuple[str, ...], bad: tuple[str, ...]):
    with pytest.raises(ValueError, match="Mood needs"):
        Mood(good, bad)


def test_different_ngrams_are_counted_over_the_whole_group(ids: Made):
    assert Distinct(2)(ids([1, 2, 3], [1, 2, 4])).tolist() == [0.75, 0.75]  # 12 23 12 24
    assert Distinct(2)(ids([1, 1, 1, 1])).tolist() == pytest.approx([1 / 3])
    assert Distinct(1)(ids([1, 2], [3])).tolist() == [1.0, 1.0]


def test_an_ngram_never_spans_what_was_not_sampled(ids: Made):
    assert Distinct(2)(ids([1, 2, -9, 1, 2])).tolist() == [0.5]
    assert Distinct(2)(ids([1], [-9, 2])).tolist() == [0.0, 0.0]  # none at all
    with pytest.raises(ValueError, match=r"Distinct.size"):
        Distinct(0)


def play(engine: Native) -> Group:
    async def everyone() -> list[Trajectory]:
        opened = engine.open(Problem("p", "ab"))
        return [await engine.extend(opened, Decoding(max_tokens=6), stream(0, "play", g)) for g in range(4)]

    attempts = asyncio.run(everyone())
    return Group(attempts[0].problem, tuple(attempts))


def test_fluency_is_the_mean_log_prob_of_what_was_sampled():
    engine = Native(tiny())
    group = play(engine)
    wanted = [float(t.rows[0].logprobs[t.rows[0].sampled].mean()) for t in group.trajectories]
    models: dict[str, Any] = {"start": engine}
    assert asyncio.run(Fluency()(models, group)).tolist() == pytest.approx(wanted, abs=1e-5)


def test_who_sampled_a_text_finds_it_more_natural_than_another_model():
    engine, other = Native(tiny()), Native(tiny(seed=1))
    group = play(engine)
    models: dict[str, Any] = {"start": engine, "other": other}
    own, its = (asyncio.run(Fluency(name)(models, group)).mean() for name in ("start", "other"))
    assert own > its


def test_an_attempt_without_a_sampled_token_has_no_fluency_and_a_missing_model_is_an_error(ids: Made):
    models: dict[str, Any] = {"start": Native(tiny())}
    opened = models["start"].open(Problem("p", "ab"))
    (value,) = asyncio.run(Fluency()(models, Group(opened.problem, (opened,))))
    assert torch.isnan(value)
    with pytest.raises(ValueError, match=r"Fluency.model names 'judge'"):
        asyncio.run(Fluency("judge")(models, ids([1])))
