"""What learning saw of every token, and that it is that of the right token."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import pyarrow.parquet as parquet
import pytest
import torch
from helpers.runs import go, sums

from whet.learners.local import Local
from whet.machines.profile import Machine
from whet.models.lm import LM
from whet.objectives.clip import Clip
from whet.objectives.likelihood import Likelihood
from whet.rewards.length import Finished
from whet.rollouts.sample import Sample
from whet.scoring import Weighted
from whet.stages.learning import Train, learn
from whet.stages.looked import ARRAYS, Looked
from whet.stages.rl import RL
from whet.types import Batch, Decoding

SETTINGS = [Machine(micro_tokens=10_000), Machine(micro_tokens=16)]


def learned(lm: LM, batch: Batch, train: Train, machine: Machine = SETTINGS[0]) -> Looked:
    looked = Looked(batch)
    learn(Local(lm, machine, **train.adamw), train, batch, step=0, seed=0, looked=looked)
    return looked


@pytest.mark.parametrize("machine", SETTINGS)
def test_a_tokens_gradient_is_that_of_the_whole_loss(lm: LM, batch: Batch, machine: Machine) -> None:
    looked = learned(lm, batch, Train(Likelihood(), lr=0.0), machine)
    trained, weights = batch.trained, looked.arrays["weights"]
    assert torch.allclose(weights[trained], torch.full((int(trained.sum()),), 1 / int(trained.sum())))
    assert torch.allclose(looked.arrays["gradient"][trained], -weights[trained])
    assert "clipped" not in looked.arrays
    for name, array in looked.arrays.items():
        assert (array[~trained] == 0).all() and (array[trained] != 0).all(), name


def test_of_a_clipped_token_nothing_is_learned(lm: LM, batch: Batch) -> None:
    looked = learned(lm, batch, Train(Clip(), lr=0.0, minibatches=3))
    clipped = looked.arrays["clipped"] == 1
    assert 0 < int(clipped.sum()) < int(batch.trained.sum())
    assert (looked.arrays["gradient"][clipped] == 0).all()
    free = batch.trained & ~clipped & (batch.advantages != 0)
    assert (looked.arrays["gradient"][free] != 0).all()


def test_the_last_pass_is_kept(lm: LM, batch: Batch) -> None:
    once, twice = (learned(copy.deepcopy(lm), batch, Train(Clip(), lr=1e-2, epochs=n)) for n in (1, 2))
    assert not torch.equal(once.arrays["logprobs"], twice.arrays["logprobs"])


def test_a_runs_file_has_them_with_the_attempts_they_belong_to(tmp_path: Path) -> None:
    rl = RL(
        sums(8),
        rollout=Sample(group=4, decoding=Decoding(max_tokens=6)),
        reward=Weighted({"finished": Finished()}),
        train={"policy": Train(Clip(), lr=1e-3)},
        problems=4,
        steps=2,
    )
    go(tmp_path, rl)
    rows = parquet.read_table(tmp_path / "rollouts" / "0-00000001.parquet").to_pylist()
    learned = [row for row in rows if row["kept"]]
    assert learned
    for row in rows:
        assert all((row[f"learned/{name}"] is not None) == row["kept"] for name in ARRAYS)
    for row in learned:
        for trained, old, new in zip(row["trained"], row["logprobs"], row["learned/logprobs"], strict=True):
            assert math.isclose(old, new, abs_tol=1e-4) if trained else new == 0
