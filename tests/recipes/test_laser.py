"""What the arms of `laser` and `length-control` start from, and that one target stands where it should."""

from __future__ import annotations

import copy
from itertools import groupby
from typing import Any

import pytest

from whet.inventory import learning
from whet.recipes import laser, length_control
from whet.recipes._verbose import redundant, sums, verbose
from whet.schedule import at


def test_each_step_is_said_once_to_four_times() -> None:
    counts = set()
    for i in range(40):
        problem = sums.problem("train", i)
        said, steps = redundant(problem), problem.info["solution"]
        thought = said.removeprefix("<think>").partition("</think>")[0]
        runs = [(step, len(list(same))) for step, same in groupby(thought.split(";"))]
        counts |= {count for _, count in runs}
        assert said.replace(thought, ";".join(step for step, _ in runs)) == steps
        assert verbose.problem("train", i).info["solution"] == said
    assert counts == {1, 2, 3, 4}


@pytest.mark.parametrize("arms", [laser.recipe.arms, length_control.recipe.arms])
def test_the_monitor_refreshes_the_target_that_the_reward_uses(arms: Any) -> None:
    monitored = [name for name in arms if name.startswith(("laser-d", "laser-de"))]
    assert monitored
    for name in monitored:
        (stage,) = copy.deepcopy(arms[name])  # as a run does
        (part,) = learning(stage).values()
        part.state.update(high=8)
        assert stage.callbacks[0].into(1.0) == at(stage, 3).reward.terms["length"].target(1.0) == 8
        assert laser.targets.state == {}
