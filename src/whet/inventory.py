"""What stands in a stage's tree: the models it names, the components that keep state, what its curriculum says."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, get_type_hints

from whet.describe import walk
from whet.types import ModelName


def learning(stage: Any) -> dict[str, Any]:
    """The components below a stage that keep state, by path; one that stands at two paths is there once."""
    found: dict[int, tuple[str, Any]] = {}
    for path, part in walk(stage):
        if isinstance(getattr(part, "state", None), dict):
            found.setdefault(id(part), (path, part))
    return dict(found.values())


def model_names(stage: Any) -> Iterator[tuple[str, str]]:
    """(path, name) for each field of a stage's tree that names a model."""
    for path, part in walk(stage):
        if hasattr(type(part), "__dataclass_fields__"):
            for name, hint in get_type_hints(type(part), include_extras=True).items():
                if hint == ModelName and getattr(part, name):
                    yield f"{path}.{name}".lstrip("."), getattr(part, name)


def check_models(stage: Any, given: Collection[str]) -> None:
    """ValueError if a component names, or the stage trains, a model that the stage will not have."""
    known = sorted({*given, "reference", *getattr(stage, "models", {})})
    trained = ((f"train.{name}", name) for name in stage.trains())
    for path, name in (*model_names(stage), *trained):
        if name not in known:
            raise ValueError(
                f"{path} names the model {name!r}, and the run has {known}; add it to the stage's `models`"
            )


def title(stage: Any) -> str:
    """What people read of a stage: "RL", "Evaluate before/test"."""
    return " ".join([type(stage).__name__, *([stage.name] if getattr(stage, "name", "") else [])])


def told(stage: Any) -> dict[str, float]:
    """What a stage's curriculum says of how it draws, for the log: {"curriculum/P/easy": 0.2}."""
    curriculum: Any = getattr(stage, "curriculum", None)
    said = curriculum.told(stage.task) if hasattr(curriculum, "told") else {}
    return {f"curriculum/{name}": value for name, value in said.items()}
