from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from whet.metrics.gained import Gained

PROBLEMS = ["lua:p/0", "r:p/0", "lua:p/1", "r:p/1"]


def run(
    folder: Path, before: Sequence[Sequence[float]], after: Sequence[Sequence[float]], problems: list[str] = PROBLEMS
) -> Path:
    for when, correct, asked in (("before", before, PROBLEMS), ("after", after, problems)):
        (folder / "evaluations" / when).mkdir(parents=True)
        told = {"problems": asked, "correct": correct, "lengths": [[1] * len(row) for row in correct]}
        (folder / "evaluations" / when / "test.json").write_text(json.dumps(told))
    return folder


def test_what_was_gained_is_the_difference_at_every_problem_of_a_source(tmp_path: Path) -> None:
    made = run(tmp_path, [[0, 0], [1, 1], [1, 0], [0, 0]], [[1, 0], [1, 1], [1, 1], [0, 1]])
    assert Gained()(made).tolist() == [0.5, 0, 0.5, 0.5]
    assert Gained(source="lua")(made).tolist() == [0.5, 0.5]
    assert Gained(source="r")(made).tolist() == [0, 0.5]
    assert Gained(source="lua").name == "pass@1 of lua above before"


def test_what_can_not_be_compared_is_refused(tmp_path: Path) -> None:
    ones = [[1]] * 4
    made = run(tmp_path / "a", ones, ones)
    with pytest.raises(ValueError, match="no problem of the source 'c'"):
        Gained(source="c")(made)
    with pytest.raises(ValueError, match="has no"):
        Gained("other")(made)
    with pytest.raises(ValueError, match="not of the same problems"):
        Gained()(run(tmp_path / "b", ones, ones, PROBLEMS[::-1]))


def test_no_verdict_is_no_difference(tmp_path: Path) -> None:
    found = Gained()(run(tmp_path, [[0], [float("nan")], [1], [0]], [[1], [1], [1], [float("nan")]]))
    assert np.isnan(found).tolist() == [False, True, False, True]
