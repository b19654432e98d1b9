"""What is wrong with an arm is said before its model is made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from helpers.runs import SMALL, sums

from whet.machines.profile import cpu
from whet.objectives.clip import Clip
from whet.recipe import Made, Recipe, prepare
from whet.rewards.verified import exact
from whet.rollouts.sample import Sample
from whet.run import Run, Silent
from whet.scoring import Weighted
from whet.stages.learning import Train
from whet.stages.rl import RL


@dataclass(frozen=True)
class Never:
    """A warm start that must not begin."""

    def check(self, run: Run) -> None: ...

    def trains(self) -> list[str]:
        return ["policy"]

    async def __call__(self, run: Run) -> None:
        raise AssertionError("the warm start began")


def test_a_model_that_is_not_there_is_refused_before_the_warm_start(tmp_path: Path) -> None:
    loop = RL(sums(4), Sample(model="teacher"), Weighted({"correct": exact}), {"policy": Train(Clip())})
    recipe = Recipe(Made(SMALL, [Never()]), {"taught": [loop]})
    with pytest.raises(ValueError, match=r"rollout\.model names the model 'teacher'"):
        prepare(recipe, "taught", 0, tmp_path, cpu, Silent())
    assert not list(tmp_path.iterdir())
