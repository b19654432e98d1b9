"""A recipe as lines of text."""

from __future__ import annotations

from dataclasses import replace

from whet.models.tiny import TinyQwen
from whet.outline import differences, outline
from whet.recipe import Recipe
from whet.schedule import Linear
from whet.stages.sft import SFT
from whet.tasks.chain_sum import ChainSum

ONE = SFT(ChainSum(terms=2), steps=3)
RECIPE = Recipe(
    TinyQwen(),
    {
        "one": [ONE],
        "longer": [replace(ONE, steps=4)],
        "scheduled": [replace(ONE, train=replace(ONE.train, lr=Linear(1.0, 0.0, 9)))],
        "two": [ONE, replace(ONE, task=ChainSum(terms=3))],
    },
)


def split(lines: list[str]) -> list[list[str]]:
    return [line.split(maxsplit=1) for line in lines if line]


def test_a_path_stands_beside_its_value_and_a_component_in_brackets() -> None:
    lines = split(outline(RECIPE, ["one"]))
    assert ["steps", "3"] in lines
    assert ["task", "(tasks.chain_sum.ChainSum)"] in lines
    assert ["task.operators", '"+-"'] in lines
    assert ["train.betas", "[0.9, 0.95]"] in lines


def test_a_difference_names_both_values() -> None:
    assert split(differences(RECIPE, "one", "longer")) == [["steps", "3  ->  4"]]
    assert split(differences(RECIPE, "one", "scheduled"))[0][0] == "train.lr"


def test_a_stage_that_only_one_arm_has_is_not_there_in_the_other() -> None:
    found = dict(split(differences(RECIPE, "one", "two")))
    assert found["1"] == "not there  ->  (SFT)"
    assert found["1.task.terms"] == "not there  ->  3"
    assert not [path for path in found if path.startswith("0")]


def test_of_several_arms_the_first_is_whole_and_others_say_what_differs() -> None:
    lines = outline(RECIPE, ["one", "longer"])
    assert "arm one, stage 0: SFT" in lines
    assert lines[lines.index("arm longer: as one, but") + 1].split() == ["steps", "3", "->", "4"]


def test_a_long_value_is_cut() -> None:
    assert max(map(len, outline(RECIPE, ["one"]))) < 120
