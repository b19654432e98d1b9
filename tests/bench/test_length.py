from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.length import COMMAND, PAGE, PICTURE, draw, front, points, series, text
from whet.recipes.length_control import STRENGTHS, recipe


def around(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.01, "high": value + 0.01}


def results(**means: tuple[float, float]) -> dict[str, Any]:
    arms = {
        n.replace("_", "-"): {"seeds": [0, 1], "length": around(x), "pass@1": around(y)} for n, (x, y) in means.items()
    }
    return {"date": "2026-01-01", "arms": arms}


RUN = results(accuracy=(40, 0.9), laser_d_mild=(20, 0.9), laser_d_strong=(10, 0.7), linear_mild=(10, 0.6))


def test_an_arm_is_dominated_where_another_is_no_worse_in_both() -> None:
    assert front({"a": (10, 0.5), "b": (10, 0.4), "c": (11, 0.5), "d": (9, 0.1), "e": (20, 0.9)}) == ["d", "a", "e"]
    assert front({"a": (10, 0.5), "b": (10, 0.5)}) == ["a", "b"]
    assert front(points(RUN["arms"])) == ["laser-d-strong", "laser-d-mild"]


def test_strengths_of_a_way_belong_together() -> None:
    found = series(list(recipe.arms))
    assert found.pop("accuracy") == ["accuracy"]
    assert list(found) == ["laser", "laser-d", "peaked", "linear", "cosine", "soft-overlong"]
    assert all(arms == [f"{way}-{strength}" for strength in STRENGTHS] for way, arms in found.items())


def test_the_page_shows_every_arm_and_the_same_picture_each_time(tmp_path: Path) -> None:
    said = text(RUN)
    assert "| laser-d-strong | 70.0 % [69.0, 71.0] | 10.0 tokens [10.0, 10.0] | yes |" in said
    assert "| linear-mild | 60.0 % [59.0, 61.0] | 10.0 tokens [10.0, 10.0] |  |" in said
    assert f"({PICTURE.relative_to('docs')})" in said
    for name in ("a.svg", "b.svg"):
        draw(RUN["arms"], tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert f"<!-- figures: {COMMAND} -->" in (Path(__file__).parents[2] / PAGE).read_text()
