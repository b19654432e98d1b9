"""What is read off a finished run."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from whet.metrics.measures import AreaUnder, Before, During, Final, Late, Overall, Rise, Total


@pytest.fixture
def run(tmp_path: Path) -> Path:
    def evaluated(where: str, correct: list[list[float]]) -> None:
        file = tmp_path / "evaluations" / where / "test.json"
        file.parent.mkdir(parents=True)
        held = {"correct": correct, "lengths": [[3, 5]] * len(correct), "problems": ["x:a", "y:b"]}
        if where == "after":
            held["terms"] = {"reward": [[0.25, 0.75], [None, 1.0]], "mood": [[None, None], [2.0, 4.0]]}
        file.write_text(json.dumps(held))

    evaluated("before", [[0, 0], [0, 1]])
    evaluated("step-2", [[0, 1], [0, 1]])
    evaluated("after", [[1, 1], [0, 1]])
    lines = [{"stage": "sft", "number": 0, "step": 0, "tokens": 5, "loss": 9.0}]
    tokens = [100, 200, 400]
    lines += [
        {"stage": "rl", "number": 1, "step": i, "tokens": tokens[i], "reward/mean": [0.0, 0.5, 1.0][i]}
        for i in (0, 1, 2)
    ]
    lines[2]["clip_fraction"] = 0.25
    (tmp_path / "metrics.jsonl").write_text("\n".join(json.dumps(line) for line in lines) + "\n")
    return tmp_path


def test_evaluations_give_a_number_per_problem(run: Path) -> None:
    assert Before("pass@1")(run).tolist() == [0, 0.5]
    assert During(2, "pass@1")(run).tolist() == [0.5, 0.5]
    assert Final("pass@1")(run).tolist() == [1, 0.5]
    assert Final("pass@2")(run).tolist() == [1, 1]
    assert Final("length")(run).tolist() == [4, 4]


def test_a_source_of_a_mixture_can_be_looked_at_alone(run: Path) -> None:
    assert Final("pass@1", source="x")(run).tolist() == [1]
    assert Final("pass@1", source="y")(run).tolist() == [0.5]
    whole, part = Before("pass@1"), Before("pass@1", source="x")
    assert part(run).tolist() == whole(run)[:1].tolist() and part.name == "pass@1 of x before"
    with pytest.raises(ValueError, match="no problem of the source 'z'"):
        Final(source="z")(run)


def test_reward_and_terms_are_means_over_the_attempts_that_have_them(run: Path) -> None:
    assert Final("reward")(run).tolist() == [0.5, 1.0]
    unknown, known = Final("mood")(run).tolist()
    assert math.isnan(unknown) and known == 3
    with pytest.raises(ValueError, match="no 'mood'"):
        Before("mood")(run)


def test_the_area_is_taken_over_tokens(run: Path) -> None:
    assert AreaUnder("reward/mean")(run) == pytest.approx([(0 * 100 + 0.5 * 100 + 1 * 200) / 400])


def test_late_is_the_end_and_overall_the_mean_of_what_is_there(run: Path) -> None:
    assert Late("reward/mean")(run).tolist() == [1.0]
    assert Overall("clip_fraction")(run).tolist() == [0.25]
    assert Overall("nothing of the kind")(run).tolist() == [0.0]


def test_a_rise_is_the_difference_of_two_measures_problem_by_problem(run: Path) -> None:
    assert Rise(Final("pass@1"), Before("pass@1"))(run).tolist() == [1, 0]
    with pytest.raises(ValueError, match="has 2 values and 'reward/mean at the end' 1"):
        Rise(Final("pass@1"), Late("reward/mean"))(run)


def test_a_total_is_the_sum_over_all_steps_of_the_stage(run: Path) -> None:
    assert Total("reward/mean")(run).tolist() == [1.5]
    assert Total("clip_fraction")(run).tolist() == [0.25]
    assert Total("nothing of the kind")(run).tolist() == [0.0]


def test_what_a_run_does_not_have_is_said(run: Path) -> None:
    with pytest.raises(ValueError, match="has no 'pass@4'"):
        Final("pass@4")(run)
    with pytest.raises(ValueError, match="step-7"):
        During(7)(run)
    with pytest.raises(ValueError, match="no 'entropy'"):
        Late("entropy")(run)


def test_names_tell_measures_apart() -> None:
    measures = [
        Final(),
        Before(),
        During(3),
        Final("length"),
        AreaUnder(),
        Late("loss"),
        Overall("loss"),
        Total("loss"),
        Final("pass@1", "hard"),
        Rise(Final(), Before()),
        Final("pass@1", source="hard"),
    ]
    assert len({measure.name for measure in measures}) == len(measures)
    assert np.all([measure.name for measure in measures])
