"""What the arms of `laser` and `length-control` start from, and that one target stands where it should."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from whet.inventory import learning
from whet.recipes import laser, length_control
from whet.recipes._verbose import habit, redundant, verbose
from whet.schedule import at


def test_the_result_is_said_again_three_to_twelve_times_for_each_step() -> None:
    counts = set()
    for i in range(80):
        problem = habit.problem("train", i)
        said, steps = redundant(problem), problem.info["solution"]
        again = said.partition("</think>")[0].removeprefix(steps.partition("</think>")[0]).split(";")[1:]
        assert said.replace("".join(f";{result}" for result in again), "") == steps
        assert set(again) <= {problem.answer} and bool(again) == ("<think>" in steps)
        counts |= {len(again) / steps.count("=")} if again else set()
        assert verbose.problem("train", i).info["solution"] == said
    assert counts == set(range(3, 13))


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
