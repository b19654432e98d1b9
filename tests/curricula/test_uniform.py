"""Which problems are drawn."""

from collections import Counter
from dataclasses import dataclass

import pytest

from whet.curricula.uniform import Uniform
from whet.randomness import stream
from whet.types import Problem


@dataclass(frozen=True)
class Counted:
    """The numbers from 0 on."""

    limit: int | None

    def problem(self, split: str, i: int) -> Problem:
        return Problem(f"{split}/{i}", str(i))

    def size(self, split: str) -> int | None:
        return self.limit


def drawn(limit: int | None, count: int, seed: int, split: str = "train") -> list[str]:
    return [problem.id for problem in Uniform(split).draw(Counted(limit), count, seed)]


def test_within_a_draw_no_problem_comes_twice() -> None:
    assert len(set(drawn(20, 20, 1))) == 20
    assert len(set(drawn(None, 500, 1))) == 500


def test_a_draw_larger_than_the_split_goes_through_it_again() -> None:
    assert sorted(Counter(drawn(4, 10, 3)).values()) == [2, 2, 3, 3]


def test_the_same_seed_draws_the_same() -> None:
    assert drawn(50, 8, 5) == drawn(50, 8, 5) != drawn(50, 8, 6)
    assert drawn(None, 8, 5) == drawn(None, 8, 5) != drawn(None, 8, 6)


def test_every_problem_is_as_likely_as_the_others() -> None:
    counts = Counter(i for step in range(2000) for i in drawn(10, 3, stream(0, "draw", step)))
    assert len(counts) == 10
    assert max(abs(n - 600) for n in counts.values()) < 100  # 5 standard deviations


def test_the_split_is_the_named_one() -> None:
    assert all(i.startswith("test/") for i in drawn(5, 3, 0, "test"))


def test_an_empty_split_is_refused() -> None:
    with pytest.raises(ValueError, match="0 problems"):
        drawn(0, 1, 0)
