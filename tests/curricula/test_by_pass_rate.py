"""Hard problems are drawn more often than easy ones."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import pytest
import torch
from helpers.examples import attempt, group, row

from whet.curricula.by_pass_rate import ByPassRate
from whet.randomness import stream
from whet.types import Problem, Scored


@dataclass(frozen=True)
class Counted:
    """The numbers from 0 on."""

    limit: int | None

    def problem(self, split: str, i: int) -> Problem:
        return Problem(f"{split}/{i}", str(i))

    def size(self, split: str) -> int | None:
        return self.limit


def played(problem: str, *correct: float) -> Scored:
    g = group(*(attempt(row([1, 2], [0, 1]), problem=problem) for _ in correct))
    return Scored(g, tuple(torch.zeros(2) for _ in correct), {"correct": torch.tensor(correct)})


def drawn(curriculum: ByPassRate, count: int, draws: int, limit: int | None) -> Counter[str]:
    return Counter(
        p.id.split("/")[1]
        for step in range(draws)
        for p in curriculum.draw(Counted(limit), count, stream(0, "draw", step))
    )


def test_problems_come_in_proportion_to_the_copies_of_their_rate() -> None:
    """Rates 0, .25, .5, .75, 1 have 6, 4, 4, 2 and 0 copies, one that was never played 4."""
    curriculum = ByPassRate()
    for i in range(5):
        right = [1.0] * i + [0.0] * (4 - i)
        curriculum.observe(0, [played(f"train/{i}", *right)], {})
    counts = drawn(curriculum, 1, 4000, limit=6)
    assert [counts[str(i)] / 4000 for i in range(6)] == pytest.approx([0.3, 0.2, 0.2, 0.1, 0, 0.2], abs=0.03)


def test_a_bound_belongs_to_the_easier_band() -> None:
    curriculum = ByPassRate(copies=((0.5, 1), (1.0, 0)))
    curriculum.observe(0, [played("train/0", 1, 0), played("train/1", 1, 0, 0)], {})
    assert set(drawn(curriculum, 1, 200, limit=2)) == {"1"}


def test_the_first_rate_stays_and_verdicts_that_are_missing_do_not_count() -> None:
    curriculum = ByPassRate()
    curriculum.observe(0, [played("a", 1, math.nan, 0, 0), played("b", math.nan)], {})
    curriculum.observe(1, [played("a", 1, 1, 1, 1)], {})
    assert curriculum.state == {"a": pytest.approx(1 / 3)}


def test_within_a_draw_a_problem_comes_again_only_when_all_are_there() -> None:
    curriculum = ByPassRate()
    curriculum.observe(0, [played("train/0", 1, 1)], {})  # no copies: the last to be drawn
    counts = drawn(curriculum, 7, 1, limit=4)
    assert sum(counts.values()) == 7 and set(counts) == {"0", "1", "2", "3"} and counts["0"] == 1


def test_the_pool_of_an_endless_task_is_its_first_problems() -> None:
    assert set(drawn(ByPassRate(pool=3), 3, 5, limit=None)) == {"0", "1", "2"}
    assert set(drawn(ByPassRate(pool=3), 2, 50, limit=2)) == {"0", "1"}
    with pytest.raises(ValueError, match="pool=1000"):
        ByPassRate().draw(Counted(None), 1, 0)
    with pytest.raises(ValueError, match="0 problems"):
        ByPassRate().draw(Counted(0), 1, 0)


@pytest.mark.parametrize("copies", [(), ((0.4, 1), (0.2, 1)), ((0.0, 1),), ((0.5, -1),)])
def test_bands_that_do_not_rise_are_refused(copies: tuple[tuple[float, float], ...]) -> None:
    with pytest.raises(ValueError, match="rise"):
        ByPassRate(copies=copies)


def test_an_unknown_term_is_refused() -> None:
    with pytest.raises(ValueError, match="'right'"):
        ByPassRate(term="right").observe(0, [played("a", 1)], {})
