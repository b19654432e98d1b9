"""Curricula over single problems: a band of accuracy, and p(1 - p)."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from helpers.runs import sums
from helpers.sources import played

from whet.curricula.by_variance import ByVariance
from whet.curricula.within_band import WithinBand
from whet.randomness import stream
from whet.tasks.chain_sum import ChainSum
from whet.types import Problem

Part = WithinBand | ByVariance


def after(part: Part, **correct: tuple[float, ...]) -> Part:
    """With these verdicts on problems p0, p1, ..., one visit each."""
    for name, values in correct.items():
        scored = played("", *values)
        problem = Problem(name, "?", "1")
        part.observe(0, [type(scored)(type(scored.group)(problem, scored.group.trajectories), (), scored.terms)], {})
    return part


def weights(part: Part, count: int) -> list[float]:
    return [part.weight(sums(count).problem("train", i)) for i in range(count)]


def test_inside_the_band_and_untried_weigh_one_and_both_bounds_belong_to_it() -> None:
    part = after(WithinBand(outside=0.1), p0=(0, 0, 0, 0), p1=(1, 0, 0, 0), p2=(1, 1, 1, 0), p3=(1, 1, 1, 1))
    assert weights(part, 5) == [0.1, 1.0, 1.0, 0.1, 1.0]
    assert part.told(sums(5)) == {"tried": 4.0, "inside": 0.5}


def test_p_times_one_minus_p_weighs_a_problem() -> None:
    part = after(ByVariance(), p0=(0, 0), p1=(1, 0, 0, 0), p2=(1, 0), p3=(1, 1))
    assert weights(part, 5) == [0.02, 0.1875, 0.25, 0.02, 0.25]
    assert part.told(sums(5)) == {"tried": 4.0, "variance": pytest.approx((0.1875 + 0.25) / 4)}


@pytest.mark.parametrize(("keep", "p"), [(1.0, 0.5), (0.5, 2 / 3), (0.0, 1.0)])
@pytest.mark.parametrize("kind", [WithinBand, ByVariance])
def test_older_visits_count_less(kind: type[Part], keep: float, p: float) -> None:
    part = after(after(kind(keep=keep), p0=(0, 0)), p0=(1, 1))
    right, tried = part.state["p0"]
    assert right / tried == pytest.approx(p)


@pytest.mark.parametrize("kind", [WithinBand, ByVariance])
def test_verdicts_that_are_missing_do_not_count(kind: type[Part]) -> None:
    part = after(kind(), p0=(math.nan, 1.0), p1=(math.nan,))
    assert part.state == {"p0": [1.0, 1.0]}


def test_draws_follow_the_weights() -> None:
    part = after(ByVariance(), p0=(1, 0, 0, 0), p1=(1, 0), p2=(0, 0))
    counts = Counter(p.id for i in range(4000) for p in part.draw(sums(3), 1, stream(0, "draw", i)))
    total = 0.1875 + 0.25 + 0.02
    assert [counts[f"p{i}"] / 4000 for i in range(3)] == pytest.approx(
        [w / total for w in (0.1875, 0.25, 0.02)], abs=0.03
    )


@pytest.mark.parametrize("kind", [WithinBand, ByVariance])
def test_within_a_draw_a_problem_comes_again_only_when_all_are_there(kind: type[Part]) -> None:
    assert sorted(Counter(p.id for p in kind().draw(sums(4), 10, 1)).values()) == [2, 2, 3, 3]


@pytest.mark.parametrize("kind", [WithinBand, ByVariance])
def test_the_pool_of_an_endless_task_is_its_first_problems(kind: type[Part]) -> None:
    assert {p.id for i in range(9) for p in kind(pool=2).draw(ChainSum(), 1, i)} == {
        "chain_sum/train/0",
        "chain_sum/train/1",
    }
    with pytest.raises(ValueError, match="pool=1000"):
        kind().draw(ChainSum(), 1, 0)
    with pytest.raises(ValueError, match="0 problems"):
        kind().draw(sums(0), 1, 0)


@pytest.mark.parametrize(
    "fields", [{"low": 0.8}, {"high": 1.5}, {"keep": 2.0}, {"outside": -1.0}, {"low": -0.1}, {"outside": math.nan}]
)
def test_a_band_that_makes_no_sense_is_refused(fields: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="WithinBand"):
        WithinBand(**fields)  # type: ignore[arg-type]


def test_other_numbers_out_of_range_and_unknown_terms_are_refused() -> None:
    with pytest.raises(ValueError, match="ByVariance"):
        ByVariance(least=-0.1)
    with pytest.raises(ValueError, match="'right'"):
        after(ByVariance(term="right"), p0=(1,))
