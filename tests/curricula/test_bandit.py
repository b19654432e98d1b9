"""Sources with large advantages or few draws come first."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from helpers.runs import sums
from helpers.sources import mixture, played

from whet.curricula.bandit import Bandit
from whet.curricula.within_band import WithinBand
from whet.randomness import stream


def with_(sizes: tuple[float, ...], drawn: tuple[int, ...], **fields: float) -> Bandit:
    """A bandit that has seen |A| of these sizes, so many attempts at each of the sources a, b, ..."""
    state = {name: {"drawn": n, "sizes": [x]} for name, x, n in zip("abc", sizes, drawn, strict=False)}
    return Bandit(**fields, state=state)  # type: ignore[arg-type]


def test_without_data_every_bound_is_the_same_and_draws_are_uniform() -> None:
    assert Bandit().bounds("ab") == {name: pytest.approx(math.sqrt(2 * math.log(2))) for name in "ab"}
    assert Bandit().bounds("a")["a"] == pytest.approx(1.17741, abs=1e-5)
    assert Bandit().odds("abcd") == dict.fromkeys("abcd", 0.25)


def test_the_more_learnable_of_two_sources_wins() -> None:
    bandit = with_((0.8, 0.2), (100, 100))
    assert list(bandit.bounds("ab").values()) == pytest.approx([1.124062, 0.524062], abs=1e-6)
    assert list(bandit.odds("ab").values()) == pytest.approx([0.997527, 0.002473], abs=1e-6)


def test_the_source_that_was_drawn_less_wins() -> None:
    odds = with_((0.8, 0.8), (1000, 10)).odds("ab")
    assert odds["a"] == pytest.approx(4.36e-5, rel=1e-3) and odds["b"] == pytest.approx(0.999956, abs=1e-6)


def test_a_solved_source_keeps_only_what_exploring_it_is_worth() -> None:
    bandit = Bandit()
    bandit.observe(0, [played("a", 1, 1, 1, 1), played("b", 0, 1, 0, 1)], {})
    assert bandit.bounds("ab")["a"] == pytest.approx(math.sqrt(2 * math.log(9) / 5))
    assert bandit.bounds("ab")["b"] == pytest.approx(1 + math.sqrt(2 * math.log(9) / 5), abs=1e-4)


def test_one_source_is_always_drawn() -> None:
    assert Bandit().odds("a") == {"a": 1.0}
    assert [p.info["source"] for p in Bandit().draw(mixture("a"), 3, 1)] == ["a"] * 3


def test_advantages_count_by_their_size_and_attempts_one_by_one() -> None:
    """Advantages of -1 and 1 give L = 1, not 0; n counts attempts, not problems."""
    bandit = Bandit()
    bandit.observe(0, [played("a", 0, 1), played("a", 1, 0)], {})
    assert bandit.told(mixture("a"))["L/a"] == pytest.approx(1.0, abs=1e-5)
    assert bandit.state["a"]["drawn"] == 4


def test_after_301_attempts_the_oldest_is_gone() -> None:
    bandit = Bandit()
    bandit.observe(0, [played("a", 0, 1)], {})  # two of size 1
    for _ in range(149):
        bandit.observe(0, [played("a", 1, 1)], {})
    assert len(bandit.state["a"]["sizes"]) == 300 and sum(bandit.state["a"]["sizes"]) == pytest.approx(2, abs=1e-4)
    bandit.observe(0, [played("a", 1)], {})
    assert len(bandit.state["a"]["sizes"]) == 300 and sum(bandit.state["a"]["sizes"]) == pytest.approx(1, abs=1e-4)
    assert bandit.state["a"]["drawn"] == 301


def test_attempts_without_a_verdict_are_drawn_and_have_no_advantage() -> None:
    bandit = Bandit()
    bandit.observe(0, [played("a", math.nan, 0, 1), played("b", math.nan)], {})
    assert bandit.state["a"]["drawn"] == 3 and len(bandit.state["a"]["sizes"]) == 2
    assert bandit.told(mixture("a", "b"))["L/b"] == 0.0


def test_draws_follow_the_odds_and_problems_know_their_source() -> None:
    bandit = with_((0.3, 0.3), (100, 100), temperature=1.0)
    task = mixture("a", "b", "c")
    drawn = [p for step in range(200) for p in bandit.draw(task, 10, stream(0, "draw", step))]
    counts, odds = Counter(p.info["source"] for p in drawn), bandit.odds("abc")
    assert all(counts[name] / 2000 == pytest.approx(odds[name], abs=0.05) for name in "abc")
    assert all(p.id.startswith(f"{p.info['source']}:chain_sum/train/") for p in drawn)


def test_items_come_from_another_curriculum_which_learns_and_tells_too() -> None:
    """A bandit over sources whose problems come from a band of accuracy."""
    task, band = mixture("a", "b"), WithinBand(pool=3, outside=0.0, keep=0.0)
    bandit = Bandit(band, temperature=1e6)
    problems = [f"chain_sum/train/{i}" for i in range(3)]
    for source in "ab":
        band.observe(0, [played(source, 1, 1, problem=name) for name in problems[1:]], {})
    drawn = [p for step in range(20) for p in bandit.draw(task, 1, stream(0, "draw", step))]
    assert {p.id for p in drawn} == {f"a:{problems[0]}", f"b:{problems[0]}"}
    assert bandit.told(task) == {"P/a": 0.5, "P/b": 0.5, "L/a": 0.0, "L/b": 0.0, "tried": 4.0, "inside": 0.0}


def test_what_has_no_sources_is_refused() -> None:
    with pytest.raises(ValueError, match=r"sources of a Mixture, got Listed"):
        Bandit().draw(sums(3), 1, 0)
    with pytest.raises(ValueError, match="names no source"):
        Bandit().observe(0, [played("", 1)], {})


@pytest.mark.parametrize("fields", [{"temperature": 0.0}, {"window": 0}])
def test_numbers_out_of_range_are_refused(fields: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        Bandit(**fields)  # type: ignore[arg-type]
