from __future__ import annotations

import pytest

from whet.view.curves import MOST, added, number, one, several, spark, stages, thin


def line(step: int, **metrics: object) -> dict[str, object]:
    return {"stage": "rl", "number": 0, "step": step, **{name.replace("__", "/"): v for name, v in metrics.items()}}


def test_each_metric_is_a_curve_of_its_chart() -> None:
    charts = {chart["key"]: chart for chart in one([line(0, reward__mean=0.25, loss=1.0), line(1, reward__mean=0.5)])}
    assert charts["reward"]["x"] == [0, 1]
    assert charts["reward"]["series"] == [{"label": "reward/mean", "y": [0.25, 0.5]}]
    assert charts["loss"]["series"] == [{"label": "loss", "y": [1.0]}] and charts["loss"]["x"] == [0]


def test_a_metric_that_no_chart_knows_is_drawn_among_the_others() -> None:
    (chart,) = one([line(0, own__thing=3.0)])
    assert chart["other"] and chart["title"] == "own/thing" and chart["series"][0]["y"] == [3.0]


def test_what_is_zero_all_the_time_is_left_out_beside_something_that_moves() -> None:
    (chart,) = one([line(0, stop__eos=1.0, stop__error=0.0)])
    assert [series["label"] for series in chart["series"]] == ["stop/eos"]
    (chart,) = one([line(0, stop__error=0.0)])
    assert [series["label"] for series in chart["series"]] == ["stop/error"]


def test_tokens_per_second_and_the_share_of_groups_kept_follow_from_the_log() -> None:
    lines = [
        line(0, tokens=100, time__play=1.0, time__learn=1.0, groups=4, groups__kept=1),
        line(1, tokens=400, time__play=1.0, time__learn=0.5, groups=4, groups__kept=3),
    ]
    ((label, found),) = stages(lines)
    assert label == "rl" and [x.get("tokens/s") for x in found] == [None, 200.0]
    assert [x["groups/kept share"] for x in found] == [0.25, 0.75]


def test_seeds_of_an_arm_are_a_mean_in_a_band() -> None:
    arms = {"a": [[line(0, reward__mean=0.0), line(1, reward__mean=1.0)], [line(0, reward__mean=0.5)]]}
    (chart,) = several(arms)
    assert chart["x"] == [0, 1]
    assert chart["series"] == [{"label": "a", "y": [0.25, 1.0], "low": [0.0, 1.0], "high": [0.5, 1.0]}]


def test_what_the_log_does_not_have_is_added_by_step_unless_it_is_zero_throughout() -> None:
    log = [line(0, loss=1.0), line(1, loss=2.0)]
    assert [x.get("staleness") for x in added(log, "staleness", {1: 0.5})] == [None, 0.5]
    assert added(log, "staleness", {0: 0.0, 1: 0.0}) == log


def test_arms_share_their_steps_and_a_single_seed_has_no_band() -> None:
    (chart,) = several({"a": [[line(0, loss=1.0)]], "b": [[line(2, loss=2.0)]]})
    assert chart["x"] == [0, 2]
    assert chart["series"] == [{"label": "a", "y": [1.0, None]}, {"label": "b", "y": [None, 2.0]}]


def test_long_curves_are_means_of_neighbours() -> None:
    (chart,) = one([line(i, loss=float(i % 2)) for i in range(2 * MOST)])
    assert len(chart["x"]) == MOST and set(chart["series"][0]["y"]) == {0.5} and chart["x"][:2] == [0.5, 2.5]
    assert thin([1.0, 3.0, 5.0], 2) == [2.0, 5.0]


@pytest.mark.parametrize("value", [True, "1", None, float("nan"), float("inf"), [1], 10**400])
def test_what_is_no_finite_number_is_none(value: object) -> None:
    assert number(value) is None


def test_a_hostile_name_of_a_metric_is_named_in_plain_text() -> None:
    (chart,) = one([{"step": 0, "x\u202e": 1.0}])
    assert chart["title"] == "xU+202E"


def test_a_small_line_needs_two_points() -> None:
    assert spark([1.0]) == "" and spark([0.0, 1.0]) == "0.0,18.0 96.0,2.0" and spark([1.0, 1.0]) == "0.0,18.0 96.0,18.0"
