"""The page of verifiers: what they said, what was slow or failed with its input, where a hidden one disagrees."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from helpers.browsing import looking, serving, texts
from helpers.played import Told, said, write_log, write_step

from whet.files import write_json


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    attempts = [
        said("right away", reward=1.0, outcome="right"),
        said("too long", outcome="timed out"),
        said("bang", outcome="crashed"),
        said("lost", error="ToolError: gone", stop="error"),
    ]
    file = write_step(folder, 3, [Told(attempts)])
    table = parquet.read_table(file).append_column("seconds/correct", pa.array([0.25, 5.0, 0.0, 0.5], pa.float32()))
    parquet.write_table(table, file)
    line = {"step": 3, "outcome/right": 0.25, "outcome/timed out": 0.25, "hidden/seen": 1.0, "hidden/hidden": 0.25}
    write_log(folder, [line, {**line, "step": 4}])
    case = {"problem": "p0", "slot": 0, "group": "direct", "attempt": 0, "seen": 1.0, "hidden": 0.0}
    write_json(folder / "hidden" / "0-00000003.json", [case, {**case, "attempt": 1, "hidden": 0.5}])
    (folder / "hidden" / "0-00000004.json").write_text('[{"seen": "much"}]')
    return tmp_path


def test_each_kind_of_failure_is_listed_with_its_input(browser: Any, root: Path) -> None:
    with serving(root) as served, looking(browser, served) as site:
        page = site.go("/verifiers?run=run")
        by = {text.split("\n")[0].rstrip("0123456789 "): text for text in texts(page, "section")}
        assert "too long" in by["Timed out"] and "bang" in by["Crashed"] and "None." in by["Failed"]
        assert "ToolError: gone" in by["Environment or tool failed"] and "2+2=" in by["Timed out"]
        assert page.locator(".plot canvas").count() == 2
        page.click("text=crashed >> xpath=following-sibling::a")
        page.wait_for_selector(".attempts")
        assert len(texts(page, ".attempts tbody tr")) == 1 and site.wrong == []


def test_the_slowest_come_first_and_the_worst_cases_of_a_hidden_verifier(browser: Any, root: Path) -> None:
    with serving(root) as served, looking(browser, served) as site:
        page = site.go("/verifiers?run=run")
        slow = page.locator("section", has_text="Slowest")
        assert [row.split("\t")[0] for row in texts(slow, "tbody tr")] == ["5", "0.5", "0.25"]
        worst = page.locator("section", has_text="hidden verifier").first
        assert [row.split("\t")[2:5] for row in texts(worst, "tbody tr")] == [["0", "1", "0"], ["1", "1", "0.5"]]
        worst.locator("[data-open]").first.click()
        page.wait_for_selector(".tokens")
        assert "attempt=0" in page.url and page.locator(".by-policy .t").count() == len("right away")
        assert site.wrong == []
