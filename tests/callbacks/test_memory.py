"""Bytes of parameters and of what optimizers keep."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from helpers.shapes import Letters, go, metrics, odd, tiny
from torch import nn

from whet.advantages.gae import GAE
from whet.callbacks.memory import TrainingState, optimizer_bytes, parameter_bytes
from whet.metrics.course import Peak
from whet.models.derived import Critic
from whet.objectives.clip import Clip
from whet.objectives.value import Value
from whet.rollouts.sample import Sample
from whet.scoring import Weighted
from whet.stages.learning import Train
from whet.stages.rl import RL
from whet.tracks.values import Values
from whet.types import Decoding


def test_a_layer_of_20_numbers_takes_80_bytes_and_its_adamw_160_and_two_counters():
    layer = nn.Linear(4, 4)  # 16 + 4 numbers of 4 bytes
    optimizer = torch.optim.AdamW(layer.parameters())
    assert (parameter_bytes([layer]), optimizer_bytes([optimizer])) == (80, 0)
    layer(torch.ones(1, 4)).sum().backward()
    optimizer.step()
    assert optimizer_bytes([optimizer]) == 2 * 80 + 2 * 4
    assert parameter_bytes([layer.double()]) == 160


def test_weights_that_are_tied_or_shared_are_counted_once():
    one, other = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
    other.weight = one.weight
    assert parameter_bytes([nn.Sequential(one, other), one]) == 64


def stage(**more: Any) -> RL:
    sample = Sample(group=4, decoding=Decoding(max_tokens=6))
    train = {"policy": Train(Clip())}
    reward, callbacks = Weighted({"odd": odd}), [TrainingState()]
    return RL(Letters(), sample, reward, **{"train": train, **more}, problems=3, steps=2, callbacks=callbacks)


def with_critic() -> RL:
    train = {"policy": Train(Clip()), "critic": Train(Value(), rows="policy")}
    return stage(train=train, advantage=GAE(), tracks=[Values()], models={"critic": Critic()})


def test_an_actor_holds_three_times_its_parameters_and_a_critic_as_much_again(tmp_path: Path):
    lm = tiny()
    weights, arrays = sum(p.numel() for p in lm.parameters()), len(list(lm.parameters()))
    go(tmp_path / "grpo", stage(), {"policy": lm})
    for line in metrics(tmp_path / "grpo"):
        assert line["memory/parameters"] == 4 * weights
        assert line["memory/optimizer"] == 8 * weights + 4 * arrays
        assert line["memory/state"] == line["memory/parameters"] + line["memory/optimizer"]
    critic = Critic().derive(tiny())
    valued, more = sum(p.numel() for p in critic.parameters()), len(list(critic.parameters()))
    go(tmp_path / "ppo", with_critic(), {"policy": tiny()})
    grpo, ppo = (float(Peak("memory/state")(tmp_path / arm)[0]) for arm in ("grpo", "ppo"))
    assert ppo == 12 * (weights + valued) + 4 * (arrays + more)
    assert grpo < 0.51 * ppo


def test_a_frozen_reference_adds_its_parameters_and_no_optimizer(tmp_path: Path):
    weights = sum(p.numel() for p in tiny().parameters())
    noted: dict[str, float] = {}
    run: Any = SimpleNamespace(lms={"policy": tiny(), "reference": tiny()}, learners={}, note=noted.update)
    asyncio.run(TrainingState()(run, 0, []))
    assert noted == {"memory/parameters": 8.0 * weights, "memory/optimizer": 0.0, "memory/state": 8.0 * weights}
