"""The page of what RL adds is made from the evaluations of its runs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from typer.testing import CliRunner

from bench.reach import COMMAND, PAGE, app, crossed, curve, estimates, text

N = 256


def run(folder: Path, before: list[int], after: list[int], sound: float) -> Path:
    """A run whose problems were solved in so many of 256 attempts, of which a share `sound` with right steps."""
    for when, right in (("before", before), ("after", after)):
        correct = [[1.0] * c + [0.0] * (N - c) for c in right]
        reasoned = [[1.0] * round(sound * c) + [0.0] * (N - round(sound * c)) for c in right]
        (folder / "evaluations" / when).mkdir(parents=True)
        told = {"problems": [], "correct": correct, "lengths": correct, "terms": {"reasoned": reasoned}}
        (folder / "evaluations" / when / "test.json").write_text(json.dumps(told))
    return folder


def test_curves_tables_and_crossings_are_of_what_was_counted(tmp_path: Path) -> None:
    folders = [run(tmp_path / f"rl-seed{seed}", [8, 16, 8], [128, 128, 0], 0.5) for seed in range(2)]
    base, tuned = curve(folders, "before", ""), curve(folders, "after", "")
    assert sorted(base) == [1, 2, 4, 8, 16, 32, 64, 128, 256]
    assert np.allclose(base[1], [[8 / N, 16 / N, 8 / N]] * 2) and np.allclose(tuned[256], [[1, 1, 0]] * 2)
    assert np.allclose(curve(folders, "before", "reasoned")[1], base[1] / 2)
    assert estimates(tuned)[256].value == 2 / 3 and estimates(base)[256].value == 1
    said = crossed(base, tuned)
    assert said.startswith("32 [")  # pass@16 of the base is about 0.48, pass@32 about 0.73, against 2 of 3 problems
    page = text({"pass": {"base": base, "RL": tuned}}, seeds=2)
    assert "![pass@k of base, RL and distilled](assets/reach-pass.png)" in page
    assert "| RL | 33.3 % [" in page
    assert f"| {said} |" in page


def test_the_page_has_a_place_for_the_figures() -> None:
    assert f"<!-- figures: {COMMAND} -->" in PAGE.read_text()


def test_without_runs_it_says_how_to_make_them(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["--runs", str(tmp_path)], env={"COLUMNS": "200"})
    assert done.exit_code == 2 and "whet reproduce limit-of-rlvr" in done.output
