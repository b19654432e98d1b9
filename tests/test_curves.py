"""pass@k and CoT-pass@k of a model as curves with bands, and where two curves meet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from whet.cli import app
from whet.commands.compare import _reached
from whet.comparing import Arm, Measured, Member, Side, compared
from whet.evaluating import curves
from whet.metrics.evaluation import per_problem
from whet.metrics.plots import pass_points, passes
from whet.models.lm import save
from whet.models.tiny import TinyQwen
from whet.report import is_share


def whet(*words: str | Path) -> Any:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(TinyQwen(width=16, layers=1, heads=2, context=64).build(0), tmp_path_factory.mktemp("model") / "small")


def test_eval_counts_reasoning_and_draws_both_curves(model: Path, tmp_path: Path) -> None:
    drawn = tmp_path / "curves.png"
    words = ("eval", model, "--task", "chain-sum", "--set", "modulus=10", "--samples", "4", "--problems", "3")
    found = whet(*words, "--max-tokens", "4", "--reasoning", "steps", "--plot", drawn, "--json")
    assert found.exit_code == 0, (found.output, found.exception)
    told = json.loads(found.stdout)
    names = [f"{kind}@{k}" for kind in ("pass", "CoT-pass") for k in (1, 2, 4)]
    assert set(told["metrics"]) == {*names, "length", "sound share"} and told["reasoning"] == "steps"
    assert drawn.read_bytes().startswith(b"\x89PNG")
    assert list(curves(told["metrics"])) == ["pass@k", "CoT-pass@k"]


def test_eval_shows_reasoning_in_per_cent(model: Path) -> None:
    words = ("eval", model, "--task", "chain-sum", "--samples", "2", "--problems", "3", "--max-tokens", "4")
    found = whet(*words, "--reasoning", "steps")
    assert found.exit_code == 0 and "CoT-pass@2" in found.stdout
    assert is_share("CoT-pass@2") and is_share("sound share")


def test_eval_refuses_a_checker_that_there_is_none_of_and_other_pictures(model: Path) -> None:
    words = ("eval", model, "--task", "chain-sum", "--max-tokens", "4")
    for more, said in ((("--reasoning", "stops"), "did you mean steps"), (("--plot", "a.pdf"), ".png")):
        found = whet(*words, *more)
        assert found.exit_code == 2 and said in found.stderr


def test_points_of_a_curve_are_in_order_of_k_and_ends_that_are_not_known_are_the_value() -> None:
    metrics = {
        "pass@16": {"value": 0.9, "low": 0.8, "high": 1.0},
        "pass@2": {"value": 0.5, "low": None, "high": None},
        "CoT-pass@2": {"value": 0.4, "low": 0.3, "high": 0.5},
        "length": {"value": 9.0, "low": 8.0, "high": 10.0},
    }
    assert pass_points(metrics) == [(2, 0.5, 0.5, 0.5), (16, 0.9, 0.8, 1.0)]
    assert pass_points(metrics, "CoT-pass") == [(2, 0.4, 0.3, 0.5)]
    assert passes({"a": pass_points(metrics)}) == passes({"a": pass_points(metrics)})


def test_compare_says_from_which_k_on_a_side_has_caught_up_and_how_surely() -> None:
    rng = np.random.default_rng(0)
    base, tuned = (rng.random((30, 16)) < 0.3), np.zeros((30, 16))
    tuned[:20] = 1  # all or nothing
    sides = tuple(
        Side(Arm(name, (Member(name),)), {key: of[None] for key, of in per_problem(np.asarray(x, float)).items()})
        for name, x in (("base", base), ("tuned", tuned))
    )
    (reached,) = compared(Measured(sides, 30, 16))["coverage"]
    assert reached["crossing"] == 4 and reached["crossing_share"] == 1
    assert (reached["crossing_low"], reached["crossing_high"]) == (4, 8)
    assert "from pass@4 on base has caught up (4 to 8; in 100 % of resamples at all)" in _reached(reached, 16)


def test_compare_says_so_where_the_interval_has_no_end() -> None:
    found = {"of": "b", "than": "a", "both": 1, "gained": 0, "lost": 1, "neither": 0, "p": None}
    told = {**found, "crossing": 4, "crossing_low": 2.0, "crossing_high": None, "crossing_share": 0.8}
    assert "(2 to above 16; in 80 % of resamples at all)" in _reached(told, 16)
    assert "caught up" not in _reached({**told, "crossing": None}, 16)
