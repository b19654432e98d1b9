"""An image inside a prompt: an encoder puts its vectors into the row, and learns with the model."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from helpers.shapes import killed, metrics, odd, played, same, tiny, watched
from torch import nn

from whet.engines.native import Native
from whet.models.lm import LM
from whet.objectives.reinforce import Reinforce
from whet.rollouts.sample import Sample
from whet.scoring import Weighted
from whet.stages.learning import Train
from whet.stages.rl import RL
from whet.types import Batch, Decoding, Media, Outputs, Problem, joined


@dataclass(frozen=True)
class Pictures:
    """What is in a picture of 4 x 4 points? It stands between two words of the question."""

    def size(self, split: str) -> int:
        return 8

    def problem(self, split: str, i: int) -> Problem:
        picture = torch.randn(4, 4, generator=torch.Generator().manual_seed(i))
        return Problem(f"{split}/{i}", ["ab" * (1 + i % 2), Media("image", picture, length=2), "?"])


class Patches(nn.Module):
    """[4, 4] -> [2, width]: the upper and the lower half."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.out = nn.Linear(8, width)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return self.out(values.reshape(2, 8))


def seeing() -> LM:
    lm = tiny()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        lm.encoders["image"] = Patches(lm.width)
    return lm


def stage() -> RL:
    rollout = Sample(group=4, decoding=Decoding(max_tokens=5))
    train = {"policy": Train(Reinforce(), lr=1e-2)}
    return RL(Pictures(), rollout, Weighted({"odd": odd}), train, problems=3, steps=3)


def test_the_encoder_learns_and_both_sides_see_the_same(tmp_path: Path):
    seen: list[tuple[Outputs, Batch]] = []
    lm = seeing()
    before = {name: value.clone() for name, value in lm.encoders.state_dict().items()}
    train = {"policy": Train(watched(Reinforce(), seen), lr=1e-2)}
    _, steps = played(tmp_path, replace(stage(), train=train), {"policy": lm})
    assert len(before) == 2
    assert all(not value.equal(before[name]) for name, value in lm.encoders.state_dict().items())
    for line in metrics(tmp_path):  # in the last steps with an encoder that has learned
        assert line["gap/max"] < 1e-5 and line["ratio"] == pytest.approx(1, abs=1e-5)
    assert all(len(media) == 1 for _, batch in seen for media in batch.media)
    for scored_P in steps:
        for t in (t for s in scored_P for t in s.group.trajectories):
            (medium,) = t.rows[0].media
            place = slice(medium.start, medium.start + medium.length)
            shown = t.problem.prompt[1]
            assert isinstance(shown, Media) and medium.values.equal(shown.values)
            assert not joined(t, "trained")[place].any() and (t.rows[0].tokens[place] == lm.codec.pad).all()


def test_another_picture_gives_other_log_probs(tmp_path: Path):
    engine, rollout = Native(seeing()), stage().rollout
    (group,) = asyncio.run(rollout({"policy": engine}, Pictures().problem("train", 0), 5))  # pyright: ignore[reportArgumentType]
    row = group.trajectories[0].rows[0]
    other = replace(row, media=tuple(replace(m, values=m.values + 1) for m in row.media))
    same_one, changed = (s["logprobs"] for s in asyncio.run(engine.score([row, other])))
    at = int(row.media[0].start)
    assert torch.allclose(same_one[row.sampled], row.logprobs[row.sampled], atol=1e-5)
    assert torch.equal(same_one[: at + 1], changed[: at + 1])
    assert float((same_one - changed)[row.sampled].abs().max()) > 1e-3


def test_a_killed_run_has_its_encoder_back(tmp_path: Path):
    whole, _ = played(tmp_path / "whole", stage(), {"policy": seeing()})
    broken = killed(tmp_path / "broken", lambda: replace(stage(), save=replace(stage().save, every=1)), [1], seeing)
    assert same(tmp_path / "whole", tmp_path / "broken")
    weights = broken.lms["policy"].state_dict()
    assert all(value.equal(weights[name]) for name, value in whole.lms["policy"].state_dict().items())
