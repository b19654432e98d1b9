import pytest

from bench.scaling import CURVES, LINES, Point, line, measure


def test_a_straight_line_is_found() -> None:
    fit = line([{"tokens": n, "step_ms": 5 + 0.1 * n} for n in (10, 20, 40)])
    assert fit["microseconds_per_token"] == pytest.approx(100)
    assert fit["fixed_ms"] == pytest.approx(5)
    assert fit["r_squared"] == pytest.approx(1)
    assert fit["largest_over_smallest"] == pytest.approx((9 / 40) / (6 / 10))


def test_a_cost_that_grows_as_the_square_shows() -> None:
    fit = line([{"tokens": n, "step_ms": n**2} for n in (10, 20, 40, 80)])
    assert fit["r_squared"] < 0.97
    assert fit["largest_over_smallest"] == pytest.approx(8)


def test_lines_are_of_curves_on_which_only_tokens_change() -> None:
    for name in LINES:
        points = CURVES[name].values()
        assert len({(p.width, p.layers, p.group) for p in points}) == 1


def test_a_point_has_exactly_the_tokens_it_says() -> None:
    found = measure(Point(problems=2, group=2, longest=5, width=32, layers=1, heads=1), seconds=0)
    assert found["tokens"] == 20
    assert found["step_tokens_per_second"] == pytest.approx(20 / found["step_ms"] * 1e3)
    assert found["step_ms"] > max(found["generation_ms"], found["training_ms"]) > 0
