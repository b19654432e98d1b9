"""A recipe: one model, arms that differ in what is compared, and how the outcome is measured."""

from __future__ import annotations

import asyncio
import copy
import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache as cache_once
from pathlib import Path
from typing import Any

import whet
from whet.claims import Claim
from whet.describe import describe, fingerprint
from whet.files import cache
from whet.given import Buildable, added, seed_of
from whet.inventory import check_models
from whet.machines.profile import Machine, cpu
from whet.metrics.measures import Final, Late, Measure, auc_reward, pass_1
from whet.models.lm import LM, load, save
from whet.models.lora import Lora
from whet.randomness import stream
from whet.run import Run, Screen, Silent, Stage
from whet.stages.evaluate import Evaluate


@dataclass(frozen=True)
class Made:
    """A model made from another by warm-up stages. Cached per seed under the hash of what made it (its description and
    Whet's own code), so that arms share one warm start. It may be the policy that arms start from, or a model that a
    stage adds (`models={"teacher": Made(...)}`)."""

    model: Buildable | Made
    stages: Sequence[Stage]

    def build(self, seed: int) -> LM:
        """As other models are built. Outside an event loop, or where it has been made before."""
        return make(self, seed)

    def place(self, seed: int) -> Path:
        """The cache folder of this model for a seed."""
        return cache() / "made" / fingerprint("made", self.model, self.stages, seed, _code())


@dataclass(frozen=True)
class Paper:
    """What a recipe reproduces."""

    id: str
    name: str
    claim: str


@dataclass(frozen=True)
class Recipe:
    """`model` is the policy every arm starts from; an arm is a list of stages; `evaluate` is done before and after.

    `at_scale`: {path: value} applied when a real model is put in, the paper's own numbers.

    `claim`: what `whet reproduce` judges; the arms it names are run with 8 seeds, all others with `seeds`. `measures`:
    what its table shows of every arm, beside what the claim measures.
    """

    model: Buildable | Made
    arms: Mapping[str, Sequence[Stage]]
    evaluate: Sequence[Evaluate] = ()
    paper: Paper | None = None
    at_scale: Mapping[str, Any] = field(default_factory=dict)
    claim: Claim | None = None
    seeds: int = 3
    measures: Sequence[Measure] = (pass_1, auc_reward, Late("entropy"), Final("length"))

    def __post_init__(self) -> None:
        if not self.arms or not all(self.arms.values()):
            raise ValueError("a recipe needs at least one arm, each with at least one stage")
        if self.seeds < 1:
            raise ValueError(f"Recipe.seeds must be at least 1, got {self.seeds}")
        unknown = [arm for arm in (self.claim.arms() if self.claim else ()) if arm not in self.arms]
        if unknown:
            raise ValueError(f"the claim speaks of {', '.join(unknown)}, and the arms are {', '.join(self.arms)}")


def make(spec: Buildable | Made, seed: int, machine: Machine = cpu, screen: Screen | None = None) -> LM:
    """Build a model, or take it from the cache. Must be called outside an event loop."""
    if isinstance(spec, Lora):
        return spec.around(make(spec.model, seed, machine, screen), stream(seed, "model"))
    if not isinstance(spec, Made):
        return spec.build(stream(seed, "model"))
    place = spec.place(seed)
    if not (place / "config.json").exists():
        lm = make(spec.model, seed, machine, screen)
        with tempfile.TemporaryDirectory() as folder:
            stages = copy.deepcopy(list(spec.stages))
            run = Run(Path(folder), stream(seed, "made"), {"policy": lm}, stages, machine, screen or Silent())
            asyncio.run(run.go())
        save(run.lms["policy"].to("cpu"), place, merge=True)
    return load(str(place))


def made(model: Buildable | Made, stages: Sequence[Stage], seed: int) -> list[tuple[Made, int]]:
    """What warm-up stages make for a run of these stages, the policy and models that a stage adds, with their seeds."""
    wanted = [(spec, seed_of(name, seed)) for stage in stages for name, spec in added(stage).items()]
    return [(spec, own) for spec, own in [(model, seed), *wanted] if isinstance(spec, Made)]


def prepare(recipe: Recipe, arm: str, seed: int, folder: Path, machine: Machine, screen: Screen) -> Run:
    """A run of one arm, ready to `go`: evaluation before, the arm's stages, evaluation after."""
    if arm not in recipe.arms:
        raise ValueError(f"there is no arm {arm!r}; the recipe has {', '.join(recipe.arms)}")
    stages = copy.deepcopy([*_timed(recipe, "before"), *recipe.arms[arm], *_timed(recipe, "after")])
    for stage in stages:
        check_models(stage, ["policy"])  # before a warm start that takes minutes
    for spec, own in made(recipe.model, stages, seed):
        make(spec, own, machine, screen)  # those that a stage adds are built within the run: from the cache
    return Run(folder, seed, {"policy": make(recipe.model, seed, machine, screen)}, stages, machine, screen)


def _timed(recipe: Recipe, when: str) -> list[Stage]:
    """The recipe's evaluations under a name that says when; both times over the same problems and streams."""
    return [replace(evaluation, name=f"{when}/{evaluation.name}") for evaluation in recipe.evaluate]


# What a warm-up is made of: a change to any of it makes models anew.
_MAKERS = ("batching.py", "randomness.py", "schedule.py", "types.py", "run.py", "scoring.py")
_MAKERS += ("models", "tasks", "learners", "stages", "objectives", "weightings", "advantages", "rollouts", "engines")


@cache_once
def _code() -> str:
    """A hash of the code that makes models."""
    root = Path(whet.__path__[0])
    digest = hashlib.blake2b(digest_size=8)
    for file in sorted(f for part in _MAKERS for f in [root / part, *(root / part).rglob("*.py")] if f.is_file()):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def description(recipe: Recipe, arm: str, seed: int) -> dict[str, Any]:
    """What `recipe.json` holds of a run."""
    parts = {"model": recipe.model, "stages": list(recipe.arms[arm]), "evaluate": list(recipe.evaluate)}
    return {"arm": arm, "seed": seed, **{key: describe(value) for key, value in parts.items()}}
