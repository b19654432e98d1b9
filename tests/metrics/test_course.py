"""What a training metric adds up to, and by how much it fell."""

import json
from pathlib import Path

import pytest

from whet.metrics.course import Fall
from whet.metrics.measures import Total


@pytest.fixture
def run(tmp_path: Path) -> Path:
    lines = [{"stage": "sft", "number": 0, "step": 0, "used": 5.0, "nll": 3.0}]
    shares = [0.8, 0.6, 0.5, 0.5, None, 0.5, 0.4, 0.1, 0.1]
    lines += [{"stage": "rl", "number": 1, "step": i, "used": 2.0, "hard": share} for i, share in enumerate(shares)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path


def test_a_total_is_over_all_stages_and_0_where_nobody_tells(run: Path) -> None:
    assert Total("used")(run).tolist() == [5 + 9 * 2]
    assert Total("nothing of the kind")(run).tolist() == [0.0]


def test_a_fall_is_the_first_quarter_less_the_last(run: Path) -> None:
    assert Fall("hard")(run) == pytest.approx([0.7 - 0.1])  # of eight values
    with pytest.raises(ValueError, match="has 'nll' in 1 steps; a fall needs two"):
        Fall("nll")(run)


def test_names_tell_measures_apart() -> None:
    assert Total("hard").name == "hard in all" and Fall("hard").name == "fall of hard"
