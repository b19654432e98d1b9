"""The doctor is silent on the shipped recipes. Their warm starts take minutes, so here the model is a fresh one and the
warm-up stages stand before the arm's own: what only a model that can do something would show is not asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from whet.doctor.examine import examine
from whet.given import added
from whet.launch import Order, find, slugs
from whet.machines.profile import cpu
from whet.recipe import Made, prepare
from whet.run import Silent


def cold(model: Any) -> tuple[Any, list[Any]]:
    """What a model is made of: one without a warm start, and the stages of its warm start."""
    if not isinstance(model, Made):
        return model, []
    inner, before = cold(model.model)
    return inner, [*before, *model.stages]


def unwarmed(stage: Any) -> Any:
    """A stage whose further models are not taught either."""
    models = {name: cold(spec)[0] for name, spec in added(stage).items()}
    return replace(stage, models=models) if models else stage


@pytest.mark.parametrize("slug", slugs())
def test_it_is_silent_on_the_shipped_recipes(slug: str, tmp_path: Path) -> None:
    recipe = find(Order(slug))
    model, before = cold(recipe.model)
    arms = {name: [*before, *map(unwarmed, stages)] for name, stages in recipe.arms.items()}
    recipe = replace(recipe, model=model, arms=arms)
    for number, arm in enumerate(arms):
        (tmp_path / str(number)).mkdir()
        run = prepare(recipe, arm, 0, tmp_path / str(number), cpu, Silent())
        try:
            run.check()
        except ValueError as error:
            if "which is not installed" not in str(error):  # a language of the sandbox
                raise
            continue
        assert [finding.line() for finding in examine(run)] == [], arm
