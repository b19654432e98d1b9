"""The worst of several sources."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from whet.metrics.worst import Worst


def evaluated(folder: Path, problems: list[str], correct: list[list[float]]) -> Path:
    file = folder / "evaluations" / "after" / "test.json"
    file.parent.mkdir(parents=True)
    file.write_text(
        json.dumps({"problems": problems, "correct": correct, "lengths": [[1.0] * len(x) for x in correct]})
    )
    return folder


def test_the_worst_source_is_that_of_the_lowest_mean(tmp_path: Path) -> None:
    folder = evaluated(tmp_path, ["a:1", "b:1", "a:2", "b:x:2"], [[1, 1], [1, 0], [0, 0], [1, 1]])
    assert Worst()(folder).tolist() == [0.5]
    assert Worst().name == "pass@1 of the worst source"


def test_problems_without_a_source_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="without a source"):
        Worst()(evaluated(tmp_path, ["a:1", "b"], [[1], [0]]))
