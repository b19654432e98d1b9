from __future__ import annotations

from dataclasses import replace

from helpers.examples import attempt, group, row

from whet.contracts import check_reward
from whet.rewards.episode import EpisodeReward
from whet.types import Turn


def test_the_rewards_of_all_turns_are_added_and_scaled() -> None:
    plain = attempt(row([1, 2, 3], [0, 1, 1]))
    played = replace(
        plain, turns=(Turn("policy", "a", 0, 1, 2, 0.5), Turn("env", "b", 0, 2, 2), Turn("policy", "c", 0, 2, 3, 2.0))
    )
    assert EpisodeReward()(group(plain, played)).tolist() == [0.0, 2.5]
    assert EpisodeReward(scale=0.2)(group(plain, played)).tolist() == [0.0, 0.5]


def test_it_keeps_the_promises_of_a_reward() -> None:
    check_reward(EpisodeReward())
