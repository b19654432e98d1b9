"""Every component of every folder keeps its contract; a new file is found without being named here."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whet.contracts import (
    ContractError,
    check_advantage,
    check_curriculum,
    check_filter,
    check_objective,
    check_reward,
    check_rollout,
    check_task,
    check_weighting,
    found,
)
from whet.describe import named

CHECKS = {
    "advantages": check_advantage,
    "curricula": check_curriculum,
    "filters": check_filter,
    "objectives": check_objective,
    "rewards": check_reward,
    "rollouts": check_rollout,
    "tasks": check_task,
    "weightings": check_weighting,
}


@pytest.mark.parametrize("folder", CHECKS)
def test_every_component_found_keeps_its_contract(folder):
    components = found(folder)
    assert components
    broken = []
    for component in components:
        try:
            CHECKS[folder](component)
        except ContractError as error:
            broken.append(str(error))
    assert not broken, "\n".join(broken)


@settings(max_examples=8)
@given(st.lists(st.integers(1, 3), min_size=1, max_size=7))
def test_contracts_hold_whatever_the_shape_of_the_batch(rows_of):
    for objective in found("objectives"):
        check_objective(objective, rows_of=rows_of)
    for weighting in found("weightings"):
        check_weighting(weighting, rows_of=rows_of)


def test_components_are_found_by_folder():
    names = {type(component).__name__ for folder in CHECKS if folder != "rewards" for component in found(folder)}
    assert {
        "GroupMean",
        "GAE",
        "Clip",
        "Gspo",
        "Plus",
        "TokenMean",
        "ConstantLength",
        "Mixed",
        "Uniform",
        "Sample",
        "Guess",
    } <= names
    assert "everything" in {named(component).rpartition(".")[2] for component in found("filters")}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of a user's own, laid out as ours."""
    folder = tmp_path / "mine" / "weightings"
    folder.mkdir(parents=True)
    (tmp_path / "mine" / "__init__.py").touch()
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    yield folder
    for name in [name for name in sys.modules if name.split(".")[0] == "mine"]:
        del sys.modules[name]


SOURCE = """
from dataclasses import dataclass

from whet.types import Batch

@dataclass(frozen=True)
class Scaled:
    scale: float

    def __call__(self, batch: Batch):
        return self.scale * batch.trained

def helper(text: str):
    return text
"""


def test_a_class_that_needs_arguments_needs_examples(package):
    (package / "scaled.py").write_text(SOURCE)
    with pytest.raises(ContractError, match="EXAMPLES"):
        found("weightings", "mine")


def test_examples_stand_for_their_module_and_helpers_are_left_out(package):
    (package / "scaled.py").write_text(SOURCE + "\nEXAMPLES = [Scaled(2.0)]\n")
    (package / "_shared.py").write_text(SOURCE)
    (package / "plain.py").write_text("def ones(batch: 'Batch'):\n    return 1.0 * batch.trained\n")
    assert [named(c if callable(c) and hasattr(c, "__name__") else type(c)) for c in found("weightings", "mine")] == [
        "mine.weightings.plain.ones",
        "mine.weightings.scaled.Scaled",
    ]
