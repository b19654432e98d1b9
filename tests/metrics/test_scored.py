"""Training metrics of one step from hand-made groups."""

from __future__ import annotations

import math

import pytest
import torch

from whet.metrics.scored import training_metrics
from whet.types import Group, Problem, Row, Scored, Stop, Trajectory

NAN = math.nan
PROBLEM = Problem("a", "1 + 1 =", "2")


def attempt(length: int, stop: Stop = "eos") -> Trajectory:
    """One prompt token and `length` sampled ones."""
    sampled = torch.tensor([False] + [True] * length)
    zeros = torch.zeros(1 + length)
    return Trajectory(PROBLEM, (Row(zeros.long(), sampled, sampled, zeros, zeros.int()),), stop=stop)


def scored(rewards: list[float], lengths: list[int] | None = None, stops: list[Stop] | None = None, **more) -> Scored:
    lengths = lengths or [1] * len(rewards)
    stops = stops or ["eos" for _ in rewards]
    made = [attempt(n, stop) for n, stop in zip(lengths, stops, strict=True)]
    tokens = []
    for reward, n in zip(rewards, lengths, strict=True):
        tokens.append(torch.zeros(1 + n))
        tokens[-1][-1] = reward
    return Scored(Group(PROBLEM, tuple(made)), tuple(tokens), **more)


def test_rewards_are_averaged_and_spread_is_taken_within_groups():
    found = training_metrics([scored([1.0, 0.0]), scored([1.0, 1.0])])
    assert found["reward/mean"] == 0.75
    assert found["reward/std"] == 0.25
    assert found["groups/mixed"] == 0.5
    assert found["groups/all_right"] == 0.5
    assert found["groups/all_wrong"] == 0.0
    assert (found["groups"], found["attempts"]) == (2.0, 4.0)


def test_a_reward_is_the_sum_over_tokens():
    one = scored([0.5], [3])
    one.rewards[0][1] = 0.25
    assert training_metrics([one])["reward/mean"] == 0.75


def test_attempts_without_a_verdict_are_counted_and_in_no_mean():
    found = training_metrics([scored([1.0, NAN, 0.0, NAN]), scored([NAN, NAN, NAN, NAN])])
    assert found["reward/mean"] == 0.5
    assert found["reward/std"] == 0.5
    assert found["outcome/failed"] == 0.75
    assert found["groups/mixed"] == 0.5
    assert found["groups/all_right"] == 0.0
    assert found["groups/all_wrong"] == 0.0


def test_what_is_not_known_at_all_is_nan():
    found = training_metrics([scored([NAN, NAN])])
    assert math.isnan(found["reward/mean"])
    assert math.isnan(found["reward/std"])
    assert found["outcome/failed"] == 1.0


def test_each_term_has_its_mean():
    a = scored([1.0, 0.0], terms={"correct": torch.tensor([1.0, NAN]), "length": torch.tensor([0.5, 0.1])})
    b = scored([1.0, 0.0], terms={"correct": torch.tensor([0.0, 0.0])})
    found = training_metrics([a, b])
    assert found["reward/correct"] == pytest.approx(1 / 3)
    assert found["reward/length"] == pytest.approx(0.3)


def test_right_is_one_or_more_and_not_the_mean_of_partial_credit():
    a = scored([1.0, 0.1], terms={"correct": torch.tensor([1.0, 0.1])})
    b = scored([0.5, NAN], terms={"correct": torch.tensor([0.5, NAN])})
    assert training_metrics([a, b])["right/correct"] == pytest.approx(1 / 3)


def test_outcomes_are_shares_of_what_the_verifiers_said():
    a = scored([1.0, 0.0, 0.0, NAN], outcomes={"correct": ("right", "wrong", "timed out", "failed")})
    b = scored([1.2, 1.2, 1.2, 1.2], outcomes={"correct": ("right",) * 4})
    found = training_metrics([a, b])
    assert found["outcome/right"] == 5 / 8
    assert found["outcome/wrong"] == found["outcome/timed out"] == found["outcome/failed"] == 1 / 8
    assert found["outcome/unparseable"] == found["outcome/crashed"] == 0.0
    assert found["groups/all_right"] == 0.5
    assert "outcome/right" not in training_metrics([scored([1.0])]), "no verifier spoke"


def test_lengths_and_ends_are_counted():
    found = training_metrics([scored([0.0] * 4, [1, 2, 3, 6], ["eos", "length", "length", ""])])
    assert found["length/mean"] == 3.0
    assert found["length/max"] == 6.0
    assert found["length/limit_share"] == found["stop/length"] == 0.5
    assert found["stop/eos"] == found["stop/open"] == 0.25
    assert found["stop/error"] == 0.0


def test_the_order_of_groups_changes_nothing():
    groups = [scored([0.1, 0.7], [1, 4]), scored([NAN, 0.3]), scored([1.0, 1.0], [2, 2], ["length", "eos"])]
    assert training_metrics(groups) == training_metrics(groups[::-1])


def test_no_groups_give_no_metrics():
    assert training_metrics([]) == {}
