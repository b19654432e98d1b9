from __future__ import annotations

import pytest

from whet.metrics.majority import majority
from whet.tasks.logic import FAMILIES, OWN, Logic
from whet.tasks.splits import worked
from whet.types import Problem
from whet.verifiers import exact, logic


class Coins:
    """Three of four train problems are heads, one of two test problems is."""

    def size(self, split: str) -> int:
        return {"train": 8, "test": 4}[split]

    def problem(self, split: str, i: int) -> Problem:
        side = "tails" if i % (4 if split == "train" else 2) == 0 else "heads"
        return Problem(f"coin/{split}/{i}", f"{split} {i}", side, {"solution": worked("", side)})


class Bare(Coins):
    def problem(self, split: str, i: int) -> Problem:
        return Problem(f"coin/{split}/{i}", "?", "heads")


def test_the_commonest_answer_of_train_is_right_for_half_of_test():
    assert majority(Coins(), exact.verify) == ("heads", 0.5)


def test_a_task_without_solutions_is_refused():
    with pytest.raises(ValueError, match="solution"):
        majority(Bare(), exact.verify)


@pytest.mark.parametrize("family", OWN)
def test_one_answer_never_solves_half_of_a_family(family: str):
    for level in (0, len(FAMILIES[family].ladder) - 1):
        assert majority(Logic(family, level), logic.verify, 100)[1] < 0.5
