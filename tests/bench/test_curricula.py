"""The page of the comparison of curricula is made from its result."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from bench.curricula import COMMAND, PAGE, app

RUN = {
    "date": "2030-01-02",
    "arms": {
        "uniform": {"seeds": [0, 1], "pass@1": {"value": 0.5, "low": 0.4, "high": 0.6}},
        "ucb": {"seeds": [0, 1], "pass@1": {"value": 0.6, "low": 0.5, "high": 0.7}},
    },
    "against_first": {"ucb": {"pass@1": {"value": 0.1, "low": 0.05, "high": 0.15}}},
    "tokens": {"uniform": 60100, "ucb": 60300},
}


def test_the_newest_run_stands_in_the_page(tmp_path: Path) -> None:
    result, page = tmp_path / "curricula.json", tmp_path / "page.md"
    result.write_text(json.dumps({"runs": [{}, RUN]}))
    page.write_text(PAGE.read_text())
    done = CliRunner().invoke(app, ["--result", str(result), "--page", str(page)])
    assert done.exit_code == 0, done.output
    said = page.read_text()
    assert f"<!-- figures: {COMMAND} -->\n2030-01-02, 2 seeds, 60k tokens per run.\n" in said
    assert "| `ucb` | 60.0 % [50.0, 70.0] | +10.0 points [5.0, 15.0] |" in said


def test_without_a_result_it_says_how_to_make_one(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["--result", str(tmp_path / "none.json")], env={"COLUMNS": "200"})
    assert done.exit_code == 2 and "whet reproduce curricula" in done.output
