"""What a run can do at all, before and after: answers alone, and answers with their reasoning."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whet.metrics.coverage import coverage
from whet.metrics.evaluation import per_problem
from whet.metrics.passk import pass_at_k
from whet.metrics.reach import Counted, CrossingPoint, Perplexity, Reached, SoundShare, counted

NAN = math.nan
Table = Sequence[Sequence[float]]


def run(folder: Path, before: Table, after: Table, sound: Table, **terms: Table) -> Path:
    for when, correct in (("before", before), ("after", after)):
        (folder / "evaluations" / when).mkdir(parents=True)
        told = {"problems": [], "correct": correct, "lengths": correct, "terms": {"reasoned": sound, **terms}}
        (folder / "evaluations" / when / "test.json").write_text(json.dumps(told))
    return folder


@pytest.mark.parametrize(("n", "c", "k", "value"), [(4, 2, 2, 5 / 6), (4, 0, 2, 0), (4, 3, 2, 1), (4, 1, 2, 0.5)])
def test_pass_at_k_of_the_papers_page(n: int, c: int, k: int, value: float) -> None:
    assert pass_at_k(n, c, k) == pytest.approx(value)


@pytest.mark.parametrize(("n", "c", "k", "value"), [(10, 3, 1, 0.3), (10, 3, 5, 11 / 12), (4, 2, 3, 1), (10, 0, 7, 0)])
def test_pass_at_k_of_the_other_papers_page(n: int, c: int, k: int, value: float) -> None:
    assert pass_at_k(n, c, k) == pytest.approx(value)


def test_problems_are_averaged_after_the_estimate() -> None:
    values = per_problem([[1, 1, 1, 1], [0, 0, 0, 0]], ks=(2,))["pass@2"]
    assert values.mean() == 0.5 != pass_at_k(8, 4, 2)  # counts that are pooled say 11 / 14


def test_only_right_answers_with_right_reasoning_count() -> None:
    right = [[1, 1, 1, 0], [1, 1, 0, 0]]
    sound = [[1, 0, 0, 1], [1, 1, 1, 1]]
    both = counted(right, sound)
    assert both.tolist() == [[1, 0, 0, 0], [1, 1, 0, 0]]  # c = 3, d = 1; d = c = 2
    assert per_problem(right, ks=(2,))["pass@2"].tolist() == pytest.approx([1, 5 / 6])
    assert per_problem(both, ks=(2,))["pass@2"].tolist() == pytest.approx([0.5, 5 / 6])


def test_a_wrong_answer_is_wrong_whatever_nobody_knows_of_its_reasoning() -> None:
    assert np.array_equal(counted([[0, 1, NAN]], [[NAN, NAN, 1]]), [[0, NAN, NAN]], equal_nan=True)
    with pytest.raises(ValueError, match="the same attempts"):
        counted([[0, 1]], [[0]])


@given(st.lists(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=3, max_size=3), min_size=1, max_size=6))
def test_cot_pass_at_k_is_never_above_pass_at_k(table: list[list[tuple[bool, bool]]]) -> None:
    right, sound = (np.array([[pair[i] for pair in row] for row in table], float) for i in (0, 1))
    raw, cot = per_problem(right), per_problem(counted(right, sound))
    assert all((cot[name] <= raw[name] + 1e-12).all() for name in raw)


def test_measures_of_a_run(tmp_path: Path) -> None:
    before = [[1, 0, 0, 0], [0, 0, 0, 0], [1, 1, 0, 0]]
    after = [[1, 1, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    sound = [[1, 0, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]]
    made = run(tmp_path, before, after, sound, strict=[[0] * 4] * 3)
    assert Counted(1)(made).tolist() == [0.25, 0, 0]
    assert Counted(2)(made).tolist() == pytest.approx([0.5, 0, 0])
    assert Counted(1, term="")(made).tolist() == [0.75, 0.25, 0]
    assert Counted(1, when="before")(made).tolist() == [0.25, 0, 0.5]
    assert Counted(0)(made).tolist() == [1, 0, 0] and Counted(0).name == "CoT-pass@all"
    assert Counted(4, term="strict")(made).tolist() == [0, 0, 0]
    assert np.array_equal(SoundShare()(made), [1 / 3, 0, NAN], equal_nan=True)
    assert [Reached(who)(made).tolist() for who in ("both", "only before", "only after", "neither")] == [  # type: ignore[arg-type]
        [1, 0, 0],
        [0, 0, 1],
        [0, 1, 0],
        [0, 0, 0],
    ]
    names = [Counted(4).name, Counted(4, "strict", "before").name, Counted(4, "").name, SoundShare(when="before").name]
    assert names == ["CoT-pass@4", "CoT-pass@4 by strict before", "pass@4", "sound share before"]


def test_the_crossing_point_of_a_run(tmp_path: Path) -> None:
    before, after = [[1, 0, 0, 0], [1, 0, 0, 0]], [[1, 1, 1, 1], [0, 0, 0, 0]]
    made = run(tmp_path, before, after, before)
    assert CrossingPoint()(made).tolist() == [2]  # 1/4, 1/2, ... against 1/2 throughout
    assert CrossingPoint(crossed=True)(made).tolist() == [1]
    assert np.isnan(CrossingPoint("reasoned")(run(tmp_path / "b", after, before, after))).tolist() == [True]
    assert CrossingPoint(crossed=True)(run(tmp_path / "c", after, after, after)).tolist() == [0]


def test_the_four_cells_are_those_of_the_table_of_coverage(tmp_path: Path) -> None:
    before = [[1.0], [1.0], [1.0], [0.0], [0.0]]
    after = [[0.0], [1.0], [1.0], [1.0], [0.0]]
    made = run(tmp_path, before, after, before)
    found = coverage([row[0] for row in before], [row[0] for row in after])
    cells = [int(Reached(who)(made).sum()) for who in ("both", "only after", "only before", "neither")]  # type: ignore[arg-type]
    assert cells == [found.both, found.gained, found.lost, found.neither] == [2, 1, 1, 1]


def test_perplexity_is_that_of_the_median_reply(tmp_path: Path) -> None:
    logs = [[math.log(0.5), math.log(0.25), math.log(0.125)], [0.0, 0.0, NAN]]
    made = run(tmp_path, [[1, 1, 1]] * 2, [[1, 1, 1]] * 2, [[1, 1, 1]] * 2, fluency=logs)
    assert Perplexity()(made).tolist() == pytest.approx([4, 1])


def test_what_a_run_does_not_hold_is_refused(tmp_path: Path) -> None:
    made = run(tmp_path, [[1, 0]], [[1, 0]], [[1, 0]])
    with pytest.raises(ValueError, match="has no term 'judged'"):
        Counted(1, term="judged")(made)
    with pytest.raises(ValueError, match="let the recipe evaluate there"):
        Counted(1, evaluation="other")(made)
    with pytest.raises(ValueError, match="sample more"):
        Counted(4)(made)
