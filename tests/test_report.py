"""A run folder becomes a page with a table and plots."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from whet.files import append_json, write_json, write_text
from whet.metrics import plots
from whet.metrics.evaluation import comparison, per_problem
from whet.metrics.plots import PLOTS, Plot, collect, moving_mean, pass_curves, segments
from whet.report import HEADER, fitting, rows, write_report


def whole_run(folder: Path) -> Path:
    for step in range(5):
        append_json(
            folder / "metrics.jsonl", {"stage": "sft", "step": step, "loss": 2.0 - 0.1 * step, "time/step": 0.5}
        )
    for step in range(40):
        line = {"stage": "rl", "step": step, "reward/mean": step / 40, "length/mean": 12.0, "entropy": 0.3, "kl": None}
        append_json(folder / "metrics.jsonl", line | {"loss": 0.0, "time/step": 2.0})
    rng = np.random.default_rng(0)
    before = per_problem(rng.random((50, 4)) < 0.3, np.full((50, 4), 20.0) + rng.random((50, 4)))
    after = per_problem(rng.random((50, 4)) < 0.8, np.full((50, 4), 15.0) + rng.random((50, 4)))
    write_json(folder / "report.json", comparison(before, after))
    paper = {"is": "recipe.Paper", "name": "Klear", "claim": "Keeping the gradient beats dropping it."}
    write_json(folder / "recipe.json", {"is": "recipe.Recipe", "paper": paper})
    write_json(folder / "env.json", {"torch": "2.13", "seed": 0, "packages": {"a": 1}})
    return folder


def test_a_report_has_a_table_and_the_plots_that_have_points(tmp_path: Path):
    text = write_report(whole_run(tmp_path)).read_text()
    assert text.startswith("# Klear\n\nKeeping the gradient beats dropping it.\n\n| metric | before | after |")
    assert "did not finish" not in text
    assert "- sft: 5 steps in 2.5 seconds, loss 1.6 at the end" in text
    assert "- rl: 40 steps in 1.3 minutes" in text
    assert "- torch: 2.13" in text
    drawn = sorted(path.name for path in (tmp_path / "plots").iterdir())
    assert drawn == ["entropy.png", "length.png", "loss.png", "pass_at_k.png", "reward.png"]
    for name in drawn:
        assert f"(plots/{name})" in text
        assert (tmp_path / "plots" / name).read_bytes().startswith(b"\x89PNG")
    assert not list(tmp_path.rglob("*.part"))


def test_the_same_run_gives_the_same_bytes(tmp_path: Path):
    write_report(whole_run(tmp_path))
    first = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    write_report(tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == first


def test_a_run_that_was_stopped_says_so(tmp_path: Path):
    append_json(tmp_path / "metrics.jsonl", {"stage": "rl", "step": 3, "reward/mean": 0.5})
    write_text(tmp_path / "metrics.jsonl", (tmp_path / "metrics.jsonl").read_text() + '{"stage": "rl", "st')
    text = write_report(tmp_path).read_text()
    assert "This run did not finish: its last line is of rl, step 3" in text
    assert "(plots/reward.png)" in text
    assert "| metric" not in text


def test_a_run_that_never_began_says_so(tmp_path: Path):
    (tmp_path / "run 7").mkdir()
    text = write_report(tmp_path / "run 7").read_text()
    assert text == "# run 7\n\n**This run did not finish: it has taken no step yet.**\n"


def test_a_folder_that_is_none_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="there is no run folder"):
        write_report(tmp_path / "nowhere")
    (tmp_path / "report.json").write_text("[")
    with pytest.raises(ValueError, match=r"report\.json should hold JSON"):
        write_report(tmp_path)


def test_cells_are_per_cent_points_and_tokens():
    report = {
        "before": {
            "pass@1": {"value": 0.312, "low": 0.27, "high": 0.355},
            "length": {"value": 12.34, "low": 9, "high": 15},
        },
        "after": {
            "pass@1": {"value": 0.58, "low": 0.531, "high": 0.629},
            "length": {"value": 9.5, "low": None, "high": 1},
        },
        "difference": {
            "pass@1": {"value": 0.268, "low": 0.21, "high": 0.324, "p": 0.0001},
            "length": {"value": -2.84, "low": -3.5, "high": -0.0001, "p": 0.0421},
        },
    }
    assert rows(report) == [
        ("pass@1", "31.2 % [27.0, 35.5]", "58.0 % [53.1, 62.9]", "+26.8 points [21.0, 32.4]", "< 0.001"),
        ("length", "12.3 tokens [9.0, 15.0]", "9.50 tokens", "-2.84 tokens [-3.50, 0.00]", "0.042"),
    ]
    assert len(HEADER) == 5


def test_a_metric_of_one_side_has_empty_cells():
    report = {"after": {"reward": {"value": 0.5, "low": 0.4, "high": 0.6}, "x": {"value": None}}}
    assert rows(report) == [("reward", "", "0.500 [0.400, 0.600]", "", ""), ("x", "", "", "", "")]
    assert rows({}) == []


def test_a_stage_ends_where_its_name_changes_or_its_steps_start_again():
    lines = [{"stage": name, "step": step} for name, step in (("sft", 0), ("rl", 0), ("rl", 1), ("rl", 0), ("sft", 0))]
    assert [(label, len(part)) for label, part in segments(lines)] == [("sft", 1), ("rl", 2), ("rl 2", 1), ("sft 2", 1)]


def test_points_that_are_missing_are_left_out():
    lines = [{"stage": "rl", "step": i, "policy/entropy": x} for i, x in enumerate((0.5, None, math.inf, 0.25, True))]
    plot = next(plot for plot in PLOTS if plot.name == "entropy")
    assert collect(plot, lines) == {"rl: policy/entropy": ([0.0, 3.0], [0.5, 0.25])}
    assert collect(plot, [{"step": 1, "entropy": None}, {"entropy_bonus": 1.0}]) == {}


def test_a_plot_takes_names_that_begin_or_end_so():
    assert Plot("v", "", "", ("validation/",)).shows("validation/pass@1")
    assert not Plot("v", "", "", ("kl",)).shows("nickl")


def test_pass_curves_are_sorted_by_k():
    side = {f"pass@{k}": {"value": k / 10, "low": None, "high": 1.0} for k in (8, 1)} | {"length": {"value": 3}}
    assert pass_curves({"before": side}) == {"before": [(1, 0.1, 0.1, 1.0), (8, 0.8, 0.8, 1.0)]}


def test_a_moving_mean_is_shorter_at_the_ends():
    assert moving_mean([0.0, 3.0, 6.0, 0.0], 3) == [1.5, 3.0, 3.0, 3.0]


def test_model_text_in_a_name_breaks_no_table(tmp_path: Path):
    write_json(tmp_path / "report.json", {"after": {"a|b\n<script>": {"value": 1.0}}})
    text = write_report(tmp_path).read_text()
    assert "| a\\|b &lt;script> |" in text


def test_matplotlib_is_only_imported_to_draw():
    assert "matplotlib" not in vars(plots)


def test_a_table_of_many_columns_is_turned() -> None:
    assert fitting(("arm", "seeds"), [("a", "8"), ("b", "3")]) == [("arm", "seeds"), ("a", "8"), ("b", "3")]
    wide = ("arm", *(f"m{i}" for i in range(9)))
    assert fitting(wide, [("a", *"123456789")]) == [("arm", "a"), *((f"m{i}", str(i + 1)) for i in range(9))]
