"""Sources that are furthest below the target come first."""

from __future__ import annotations

import math

import pytest
from helpers.sources import mixture, played

from whet.curricula.below_target import BelowTarget


def test_the_smoothed_form_on_the_page_s_numbers() -> None:
    """h = {a: .8, b: .2} and new rewards {a: [1, 1], b: [0, 1]}: m = {.9, .35}."""
    part = BelowTarget(every=1, state={"means": {"a": 0.8, "b": 0.2}})
    part.observe(0, [played("a", 1, 1), played("b", 0, 1)], {})
    assert part.state["means"] == {"a": pytest.approx(0.9), "b": pytest.approx(0.35)}
    assert part.odds("ab") == {"a": pytest.approx(0.1378417, abs=1e-7), "b": pytest.approx(0.8621583, abs=1e-7)}


def test_the_decayed_form_on_the_page_s_numbers() -> None:
    """S = 2, old {a: 1, b: 0}, new {a: 1, b: 1}: target .75, m = {.75, .5}."""
    part = BelowTarget(form="decayed", window=2, every=2)
    part.observe(0, [played("a", 1), played("b", 0)], {})
    part.observe(1, [played("a", 1), played("b", 1)], {})
    assert part.state["share"] == 0.75 and part.state["means"] == {"a": 0.75, "b": 0.5}
    assert part.odds("ab") == {"a": pytest.approx(0.3029407, abs=1e-7), "b": pytest.approx(0.6970593, abs=1e-7)}


@pytest.mark.parametrize(("decay", "share", "mean"), [("geometric", 0.75, 0.5), ("none", 1.0, 0.5)])
def test_other_decays_have_their_own_target(decay: str, share: float, mean: float) -> None:
    part = BelowTarget(form="decayed", decay=decay, window=2, every=2)  # type: ignore[arg-type]
    part.observe(0, [played("a", 0)], {})
    part.observe(1, [played("a", 1)], {})
    assert part.state["share"] == share and part.state["means"] == {"a": mean}


def test_a_step_that_left_the_window_does_not_count() -> None:
    part = BelowTarget(form="decayed", decay="none", window=2, every=3)
    for step, value in enumerate((0, 1, 1)):
        part.observe(step, [played("a", value)], {})
    assert part.state["means"] == {"a": 1.0}


@pytest.mark.parametrize("form", ["smoothed", "decayed"])
def test_when_all_reach_the_target_draws_are_uniform(form: str) -> None:
    part = BelowTarget(form=form, target=0.9, every=1)  # type: ignore[arg-type]
    for step in range(5):
        part.observe(step, [played("a", 1, 1), played("b", 1, 1), played("c", 1)], {})
    assert part.odds("abc") == dict.fromkeys("abc", pytest.approx(1 / 3))


def test_eps_cancels_and_weights_sum_to_one() -> None:
    state = {"means": {"a": 0.1, "b": 0.5, "c": 0.9}}
    odds = [BelowTarget(eps=eps, state=state).odds("abc") for eps in (0.0, 0.1, 3.0)]
    assert odds[0] == pytest.approx(odds[1]) and odds[0] == pytest.approx(odds[2])
    assert math.fsum(odds[0].values()) == pytest.approx(1.0)


@pytest.mark.parametrize("form", ["smoothed", "decayed"])
def test_an_absent_source_keeps_its_mean_and_is_still_drawn(form: str) -> None:
    part = BelowTarget(form=form, window=1, every=1)  # type: ignore[arg-type]
    part.observe(0, [played("a", 1), played("b", 0, 1)], {})
    part.observe(1, [played("a", 1)], {})
    assert part.state["means"] == {"a": 1.0, "b": 0.5} and part.odds("ab")["b"] > 0.5


def test_a_mean_of_zero_is_not_smoothed() -> None:
    part = BelowTarget(every=1, state={"means": {"a": 0.0}})
    part.observe(0, [played("a", 1, 0)], {})
    assert part.state["means"] == {"a": 0.5}


def test_weights_change_every_so_many_steps_and_begin_uniform() -> None:
    part = BelowTarget(every=2)
    part.observe(0, [played("a", 1), played("b", 0)], {})
    assert part.odds("ab") == {"a": 0.5, "b": 0.5}
    part.observe(1, [played("a", 0), played("b", 0)], {})
    assert part.state["means"] == {"a": 0.5, "b": 0.0}  # the steps since the last time
    part.observe(2, [played("a", 1)], {})
    assert part.state["means"] == {"a": 0.5, "b": 0.0}


def test_an_impossible_source_gets_no_more_than_the_cap() -> None:
    state = {"means": {"a": 0.0, "b": 0.7, "c": 0.9}}
    free, capped = BelowTarget(state=state).odds("abc"), BelowTarget(state=state, cap=0.5).odds("abc")
    assert free["a"] > 0.8 and capped["a"] == 0.5 and sum(capped.values()) == pytest.approx(1.0)
    assert capped["b"] / capped["c"] == pytest.approx(free["b"] / free["c"])
    with pytest.raises(ValueError, match="no whole"):
        BelowTarget(cap=0.3).odds("ab")


def test_rewards_outside_0_to_1_are_clipped_and_missing_verdicts_left_out() -> None:
    part = BelowTarget(every=1)
    part.observe(0, [played("a", -1, 2, math.nan)], {})
    assert part.state["means"] == {"a": 0.5}


def test_it_tells_weights_and_gaps() -> None:
    part = BelowTarget(state={"means": {"a": 0.9, "b": 0.35}})
    told = part.told(mixture("a", "b"))
    assert {name: round(value, 6) for name, value in told.items()} == {
        **{"P/a": 0.137842, "P/b": 0.862158},
        **{"v/a": 0.1, "v/b": 0.65},
    }


@pytest.mark.parametrize(
    "fields",
    [{"form": "x"}, {"decay": "x"}, {"window": 0}, {"every": 0}, {"tau": 0.0}, {"alpha": 1.5}, {"cap": 0.0}],
)
def test_what_makes_no_sense_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="BelowTarget"):
        BelowTarget(**fields)  # type: ignore[arg-type]
