"""What a training metric adds up to, by how much it fell, its peak, and when most of it was gained."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from whet.bounds import Above
from whet.claims import Cheaper
from whet.metrics.course import EarlyRise, Fall, Peak, StepOfGain
from whet.metrics.measures import Rise, Total


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


def test_a_peak_is_the_highest_of_all_steps_of_all_stages(run: Path) -> None:
    assert Peak("used")(run).tolist() == [5.0] and Peak("hard")(run).tolist() == [0.8]
    with pytest.raises(ValueError, match="has no 'memory/state'"):
        Peak("memory/state")(run)


def logged(folder: Path, **metrics: Sequence[float | None]) -> Path:
    """A run's folder with an RL stage whose steps have these metrics, behind an SFT stage that has them, too."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [{"stage": "sft", "number": 0, "step": 0, **dict.fromkeys(metrics, 9.0)}]
    for step, values in enumerate(zip(*metrics.values(), strict=True)):
        lines.append({"stage": "rl", "number": 1, "step": step, **dict(zip(metrics, values, strict=True))})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_t90_is_the_first_step_with_nine_tenths_of_the_final_gain(tmp_path: Path) -> None:
    rising = logged(tmp_path, valid=[0.2, 0.5, 0.91, 0.92, 1.0, 0.9, 1.0], correct=[0, 0.1, 0.2, 0.3, 0.5, 0.89, 1.0])
    assert StepOfGain("valid", window=1)(rising).tolist() == [3]  # 0.2 + 0.9 * 0.8 = 0.92
    assert StepOfGain("correct", window=1)(rising).tolist() == [6]
    assert StepOfGain("correct", window=1, share=0.5)(rising).tolist() == [4]
    assert StepOfGain("correct", window=1, share=1.0)(rising).tolist() == [6]


def test_t90_of_means_is_not_taken_in_by_one_lucky_step(tmp_path: Path) -> None:
    lucky = logged(tmp_path, m=[0, 1, 0, 0, 0.5, 1, 1, 1])
    assert StepOfGain("m", window=1)(lucky).tolist() == [1]
    assert StepOfGain("m", window=2)(lucky).tolist() == [6]  # means from step 1 on: .5 .5 0 .25 .75 1 1
    assert StepOfGain("m", window=2, share=0.4)(lucky).tolist() == [5]


def test_steps_without_the_metric_are_left_out_and_keep_their_numbers(tmp_path: Path) -> None:
    assert StepOfGain("m", window=1)(logged(tmp_path, m=[None, 0, None, 0.5, None, 1])).tolist() == [5]
    assert StepOfGain("m", window=2)(logged(tmp_path, m=[None, 0, None, 0, 1, None, 1, 1])).tolist() == [6]


def test_what_was_not_gained_has_no_time(tmp_path: Path) -> None:
    for values in ([0.5] * 6, [1, 0.8, 0.9, 0.2], [1, 2, 3, 1]):
        assert math.isnan(StepOfGain("m", window=1)(logged(tmp_path, m=values))[0])


def test_a_gain_needs_more_steps_than_its_window(tmp_path: Path) -> None:
    short = logged(tmp_path, m=[0, 0, 0, 0, 1])
    with pytest.raises(ValueError, match="in 5 steps of its RL stage; a gain between means of 5 needs 6"):
        StepOfGain("m")(short)
    assert StepOfGain("m", window=4)(short).tolist() == [4]
    with pytest.raises(ValueError, match="in 0 steps"):
        StepOfGain("n")(short)
    wrong: list[dict[str, Any]] = [{"share": 0}, {"share": 1.5}, {"window": 0}]
    for settings in wrong:
        with pytest.raises(ValueError, match="StepOfGain"):
            StepOfGain("m", **settings)


def test_that_syntax_comes_before_content_and_a_critic_costs_more_can_be_claimed(tmp_path: Path) -> None:
    first, then = StepOfGain("valid", window=1), StepOfGain("correct", window=1)
    order = Above("grpo", Rise(then, first), 0)
    runs = [
        logged(tmp_path / str(k), valid=[0, 1, 1, 1, 1, 1], correct=[0, 0, 0, 0, 0.9 - k / 100, 1]) for k in range(3)
    ]
    later = np.stack([order.metric(run) for run in runs])
    assert later.tolist() == [[3], [4], [4]]
    assert order.judge({"grpo": {order.metric.name: later}})[0].verdict == "reproduced"
    assert order.judge({"grpo": {order.metric.name: -later}})[0].verdict == "not reproduced"
    unknown = np.full((3, 1), math.nan)
    assert order.judge({"grpo": {order.metric.name: unknown}})[0].verdict == "inconclusive"
    cheaper = Cheaper("grpo", than="ppo", metric=Peak("memory/state"), share=0.75)
    held = {arm: {cheaper.metric.name: np.full((3, 1), n)} for arm, n in (("grpo", 4.0), ("ppo", 7.0))}
    assert cheaper.judge(held)[0].verdict == "reproduced"


def test_names_tell_measures_apart() -> None:
    names = [Total("hard").name, Fall("hard").name, Peak("hard").name]
    names += [StepOfGain("hard").name, StepOfGain("hard", 0.5).name, StepOfGain("hard", window=1).name]
    assert names[:2] == ["hard in all", "fall of hard"] and names[5] == "step with 90% of the gain in hard"
    assert len(set(names)) == len(names)


def test_an_early_rise_is_within_the_first_third(tmp_path: Path) -> None:
    made = logged(tmp_path, m=[0.1, 0.3, 0.4, 0.6, *[0.0] * 8], n=[None, 1, 2, 3, None, *[0.0] * 4, *[None] * 3])
    assert EarlyRise("m", window=2)(made) == pytest.approx([0.3])  # (0.4 + 0.6) / 2 - (0.1 + 0.3) / 2
    assert EarlyRise("n", window=1)(made) == pytest.approx([1])  # of seven steps that have it, the first two
    assert EarlyRise("m").name == "rise of m in the first third"


def test_a_third_that_is_too_short_has_no_early_rise(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs 12"):
        EarlyRise("m", window=2)(logged(tmp_path, m=[0.0] * 11))
    with pytest.raises(ValueError, match="at least 1 step"):
        EarlyRise("m", window=0)
