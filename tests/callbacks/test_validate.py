"""Validation in the middle of training."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.model_small import generated, shaken
from helpers.runs import SMALL, go, metrics, sums, text_of

from whet.callbacks.validate import Validate
from whet.models.lm import load
from whet.objectives.clip import Clip
from whet.rollouts.sample import Sample
from whet.run import Save
from whet.scoring import Weighted
from whet.stages.evaluate import Evaluate
from whet.stages.learning import Train
from whet.stages.rl import RL
from whet.types import Decoding, Group

attempts = Sample(group=3, decoding=Decoding(max_tokens=4))


def even(group: Group) -> torch.Tensor:
    return torch.tensor([float(sum(map(ord, text)) % 2) for text in text_of(group)])


reward = Weighted({"correct": even})


@dataclass(frozen=True)
class Told:
    """An evaluation that finds given values, one after another, and keeps the weights it saw."""

    values_: tuple[float, ...]
    seen: list[torch.Tensor] = field(default_factory=list)
    name: str = "told"

    def check(self, run: Any) -> None: ...

    async def measure(self, run: Any, models: Any, name: str) -> dict[str, np.ndarray]:
        self.seen.append(models["policy"].lm.state_dict()["hf.model.norm.weight"].clone())
        return {"pass@1": np.array([self.values_[len(self.seen) - 1]])}


def stage(validate: Validate, steps: int = 8, **more: Any) -> RL:
    train = {"policy": Train(Clip(), lr=1e-2)}
    return RL(
        sums(20), attempts, reward, train, problems=3, steps=steps, callbacks=[validate], save=Save(every=1), **more
    )


def weight(folder: Path) -> torch.Tensor:
    return load(folder).state_dict()["hf.model.norm.weight"]


@pytest.mark.parametrize("ahead", [0, 2])
def test_the_best_model_is_kept_as_it_was(tmp_path: Path, ahead: int) -> None:
    told = Told((0.2, 0.5, 0.4, 0.5))
    run = go(tmp_path, stage(Validate(told, every=2), ahead=ahead))
    assert [line.get("validation/pass@1") for line in metrics(tmp_path)] == [None, 0.2, None, 0.5, None, 0.4, None, 0.5]
    assert torch.equal(weight(tmp_path / "best"), told.seen[1])  # the first of the two best
    assert not torch.equal(told.seen[1], told.seen[2])  # seen as they were after each step's update
    assert torch.equal(run.lms["policy"].state_dict()["hf.model.norm.weight"], told.seen[3])
    best = load(tmp_path / "best")
    tokens = torch.tensor(best.codec.tokenizer.encode("1+1="))
    assert len(generated(best, tokens, 4)) >= 1


def test_patience_ends_the_stage(tmp_path: Path) -> None:
    told = Told((0.2, 0.5, 0.4, 0.5, 0.3, 0.9))
    go(tmp_path, stage(Validate(told, every=1, patience=2)), stage(Validate(Told((0.1,) * 9), every=1, patience=3)))
    lines = metrics(tmp_path)
    assert [line["step"] for line in lines if line["number"] == 0] == [0, 1, 2, 3]
    assert [line["step"] for line in lines if line["number"] == 1] == [0, 1, 2, 3]
    assert not torch.equal(weight(tmp_path / "best"), told.seen[1])  # the second stage has kept its own best


def test_what_it_knows_is_in_the_checkpoint(tmp_path: Path) -> None:
    stage_ = stage(Validate(Told((0.2, 0.5, 0.4)), every=1), steps=3)
    go(tmp_path, stage_)
    assert stage_.callbacks[0].state == {"best": 0.5, "step": 2, "without": 1}  # type: ignore[attr-defined]


def test_a_validation_without_any_verdict_is_neither_best_nor_in_the_way(tmp_path: Path) -> None:
    told = Told((float("nan"), 0.1, float("nan"), 0.2))
    validate = Validate(told, every=1)
    go(tmp_path, stage(validate, steps=4))
    assert [line["validation/pass@1"] for line in metrics(tmp_path)] == [None, 0.1, None, 0.2]
    assert validate.state == {"best": 0.2, "step": 4, "without": 0}
    assert torch.equal(weight(tmp_path / "best"), told.seen[3])


def test_validation_changes_nothing_that_is_learned(tmp_path: Path) -> None:
    evaluation = Evaluate(sums(20), attempts, reward, split="validation", problems=3)
    for ahead in (0, 1):
        with_ = stage(Validate(evaluation, every=1), steps=3, ahead=ahead)
        without = replace(with_, callbacks=())
        a = go(tmp_path / f"with{ahead}", with_, lm=shaken(SMALL)).lms["policy"].state_dict()
        b = go(tmp_path / f"without{ahead}", without, lm=shaken(SMALL)).lms["policy"].state_dict()
        assert all(torch.equal(a[name], b[name]) for name in a)


def test_wrong_numbers_and_names_are_refused(tmp_path: Path) -> None:
    wrongs: list[Any] = [{"every": 0}, {"patience": -1}]
    for wrong in wrongs:
        with pytest.raises(ValueError, match="every >= 1 and patience >= 0"):
            Validate(Told(()), **wrong)
    with pytest.raises(ValueError, match="'pass@9' is not among"):
        go(tmp_path, stage(Validate(Told((0.1,)), every=1, metric="pass@9")))
