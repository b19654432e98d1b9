"""Every shipped recipe and arm, for two steps: it runs, its numbers are numbers, and its model is one."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from whet.engines.native import Native
from whet.launch import Order, changed, find, slugs, start
from whet.metrics.course import StepOfGain
from whet.metrics.measures import During
from whet.recipe import Recipe
from whet.run import Silent
from whet.settings import paths
from whet.stages.evaluate import Evaluate
from whet.stages.rl import RL
from whet.types import Decoding, Trajectory

SMALL = {"steps": 2, "problems": 2, "group": 2, "max_tokens": 12, "warmup": 0}


def runs() -> Iterator[Any]:
    for slug in slugs():
        for arm in find(Order(slug)).arms:
            yield pytest.param(slug, arm, id=f"{slug}/{arm}")


def shortened(recipe: Recipe) -> list[str]:
    """Settings that leave two small steps of every stage, and few problems of every evaluation."""
    places = {f"{arm}.{i}.": stage for arm, stages in recipe.arms.items() for i, stage in enumerate(stages)}
    places |= {"model.": recipe.model}
    places |= {f"evaluate.{i}.": evaluation for i, evaluation in enumerate(recipe.evaluate)}
    found = []
    for place, tree in places.items():
        for path, value in paths(tree).items():
            name = path.rpartition(".")[2]
            if name in SMALL and isinstance(value, int):
                found.append(f"{place}{path}={min(value, SMALL[name])}")
    return found


@pytest.mark.parametrize(("slug", "arm"), list(runs()))
def test_a_recipe_runs_for_two_steps(slug: str, arm: str, tmp_path: Path) -> None:
    settings = tuple(shortened(find(Order(slug))))
    assert any(setting.endswith("steps=2") for setting in settings)
    out = tmp_path / "run"
    try:
        run = start(Order(slug, arm, seed=1, settings=settings), out, Silent())
    except ValueError as error:
        if "which is not installed" not in str(error):  # a language of the sandbox
            raise
        pytest.skip(str(error))
    _finite_metrics(out, changed(find(Order(slug)), settings).arms[arm])
    _whole_report(out)
    recipe = find(Order(slug))
    if not any(isinstance(stage, RL) for stage in recipe.arms[arm]):
        _measured(out, recipe)
    evaluations = [*recipe.evaluate, *(stage for stage in recipe.arms[arm] if isinstance(stage, Evaluate))]
    prompts = [evaluation.task.problem(evaluation.split, i) for evaluation in evaluations for i in (0, 1)]
    engine = Native(run.lms["policy"])
    played = asyncio.run(_greedy(engine, prompts))
    assert played
    plain: Any = AutoModelForCausalLM.from_pretrained(out / "model")
    tokenizer = AutoTokenizer.from_pretrained(out / "model")
    for problem, trajectory in zip(prompts, played, strict=True):
        row = trajectory.rows[0]
        start_ = row.tokens[: int(row.sampled.nonzero()[0])]
        if isinstance(problem.prompt, list):
            asked = tokenizer.apply_chat_template(problem.prompt, add_generation_prompt=True, tokenize=True)
            asked = asked if isinstance(asked, list) else asked["input_ids"]
            assert start_.tolist() == asked
        text = plain.generate(start_[None], do_sample=False, max_new_tokens=16)[0]
        assert text.tolist() == row.tokens.tolist()


async def _greedy(engine: Native, prompts: list[Any]) -> list[Trajectory]:
    decoding = Decoding(max_tokens=16, temperature=0.0)
    return list(await asyncio.gather(*(engine.extend(engine.open(p), decoding, 0) for p in prompts)))


def _finite_metrics(out: Path, stages: Any) -> None:
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert len(lines) == sum(stage.steps for stage in stages if hasattr(stage, "steps"))
    for line in lines:
        alone = {"reward/std"} if line.get("attempts") == line.get("groups") else set()  # one attempt has no deviation
        numbers = {name: value for name, value in line.items() if name not in {"stage", "alerts", *alone}}
        assert all(value is not None and math.isfinite(value) for value in numbers.values()), numbers


def _whole_report(out: Path) -> None:
    report = json.loads((out / "report.json").read_text())
    assert "pass@1" in report["before"]
    for when in ("before", "after", "difference"):
        assert report[when].keys() == report["before"].keys()
        for value in report[when].values():
            assert value["low"] <= value["value"] <= value["high"]
    assert (out / "report.md").exists() and (out / "model" / "README.md").exists()


def _measured(out: Path, recipe: Recipe) -> None:
    """Every measure of its table can be had of an arm without RL, too, but for those of a later step and of a source
    that two problems may miss. After RL of two steps too much is missing that a whole run has."""
    for measure in recipe.measures:
        if not isinstance(measure, During | StepOfGain) and not getattr(measure, "source", ""):
            assert measure(out).size
