from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from whet.callbacks.second_verifier import SecondVerifier
from whet.models.tiny import TinyQwen
from whet.objectives.clip import Clip
from whet.rewards.verified import exact
from whet.rollouts.sample import Sample
from whet.run import Run
from whet.scoring import Weighted
from whet.stages.learning import Train
from whet.stages.rl import RL
from whet.tasks.chain_sum import ChainSum
from whet.types import Decoding, Group

TINY = TinyQwen(width=32, layers=1, heads=2, kv_heads=1, context=48)


def ones(group: Group) -> Tensor:
    return torch.ones(len(group.trajectories))


def nothing(group: Group) -> Tensor:
    return torch.full((len(group.trajectories),), torch.nan)


def lines(
    folder: Path, watch: SecondVerifier, reward: Weighted | None = None, steps: int = 4
) -> list[dict[str, float]]:
    stage = RL(
        ChainSum(),
        Sample(group=2, decoding=Decoding(max_tokens=4)),
        reward or Weighted({"correct": ones, "real": exact}, weights={"real": 0.0}),
        {"policy": Train(Clip(), lr=1e-4)},
        problems=3,
        steps=steps,
        callbacks=[watch],
    )
    asyncio.run(Run(folder, 0, {"policy": TINY.build(0)}, [stage]).go())
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_the_gap_is_what_the_reward_says_less_what_the_hidden_one_does(tmp_path: Path) -> None:
    found = lines(tmp_path / "a", SecondVerifier(exact, groups=3))
    assert len(found) == 4
    for line in found:
        assert line["hidden/seen"] == 1 and line["hidden/gap"] == 1 - line["hidden/hidden"]
        assert line["hidden/hidden"] == pytest.approx(line["reward/real"])  # all three groups were looked at


def test_training_is_the_same_with_and_without_it(tmp_path: Path) -> None:
    with_, without = (
        lines(tmp_path / "a", SecondVerifier(exact)),
        lines(tmp_path / "b", SecondVerifier(exact, every=99)),
    )

    def own(line: dict[str, float]) -> dict[str, float]:
        return {name: value for name, value in line.items() if not name.startswith(("hidden/", "time/", "alerts"))}

    assert len(with_) == 4 and [own(line) for line in with_] == [own(line) for line in without]
    assert not any(name.startswith("hidden/") for line in without for name in line)


def test_the_stage_ends_once_the_gap_is_too_large_for_long_enough(tmp_path: Path) -> None:
    watch = SecondVerifier(exact, groups=3, most=0.5, over=2)
    assert len(lines(tmp_path / "a", watch, steps=6)) == 2
    assert len(lines(tmp_path / "b", replace(watch, hidden=ones, state={}), steps=3)) == 3


def test_the_attempts_that_it_thinks_least_of_are_kept(tmp_path: Path) -> None:
    found = lines(tmp_path / "a", SecondVerifier(exact, groups=3), steps=2)
    for line in found:
        cases = json.loads((tmp_path / "a" / "hidden" / f"0-{line['step']:08d}.json").read_text())
        assert len(cases) == round(line["hidden/gap"] * 6) > 0  # three groups of two, all right to the reward
        assert all((case["seen"], case["hidden"]) == (1, 0) for case in cases)
        assert {(case["slot"], case["attempt"]) for case in cases} <= {(slot, g) for slot in range(3) for g in range(2)}
    lines(tmp_path / "b", SecondVerifier(ones, groups=3), steps=2)
    assert not (tmp_path / "b" / "hidden").exists()


def test_attempts_without_a_verdict_are_in_no_mean(tmp_path: Path) -> None:
    assert not any("hidden/gap" in line for line in lines(tmp_path / "a", SecondVerifier(nothing), steps=2))


def test_wrong_settings_are_refused(tmp_path: Path) -> None:
    for wrong in ({"every": 0}, {"groups": 0}, {"over": 0}):
        with pytest.raises(ValueError, match=r"SecondVerifier\."):
            SecondVerifier(exact, **wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"SecondVerifier.term is 'format'"):
        lines(tmp_path / "a", SecondVerifier(exact, term="format"))
