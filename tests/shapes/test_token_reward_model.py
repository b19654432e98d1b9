"""A second model learns from outcomes which tokens decide, and the policy learns by its weights: OREAL's loop."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.shapes import Letters, killed, metrics, odd, played, same, tiny, watched

from whet.advantages.leave_one_out import LeaveOneOut
from whet.callbacks.token_scores import TokenScores
from whet.curricula.by_pass_rate import ByPassRate
from whet.filters.mixed import Mixed
from whet.models.derived import Critic
from whet.objectives.clone_and_repel import CloneAndRepel
from whet.objectives.kl import KL
from whet.objectives.outcome_score import OutcomeScore
from whet.rollouts.sample import Sample
from whet.run import Save
from whet.schedule import Steps
from whet.scoring import Weighted
from whet.stages.learning import Auxiliary, Train
from whet.stages.rl import RL
from whet.tracks.reference import Logprobs
from whet.tracks.token_weights import TokenWeights
from whet.types import Batch, Decoding, Outputs
from whet.weightings.by_outcome import ByOutcome
from whet.weightings.one_of_each import OneOfEach
from whet.weightings.sequence_mean import SequenceMean

WAIT = 2


def stage(steps: int = 5) -> RL:
    both = OneOfEach(weighting=ByOutcome())
    near = {"kl": Auxiliary(KL("k3", ratio=False), OneOfEach(), 0.01)}
    return RL(
        task=Letters(),
        rollout=Sample(group=6, decoding=Decoding(max_tokens=4)),
        reward=Weighted({"correct": odd}, weights={"correct": 2.0}),
        train={
            "policy": Train(CloneAndRepel(), both, lr=Steps(0.0, {WAIT: 1e-2}), auxiliary=near, weight_decay=0.01),
            "scorer": Train(OutcomeScore(), OneOfEach(weighting=SequenceMean()), lr=1e-2, rows="policy"),
        },
        models={"scorer": Critic()},
        advantage=LeaveOneOut(),
        curriculum=ByPassRate(),
        filter=Mixed("correct"),
        tracks=[Logprobs(), TokenWeights()],
        callbacks=[TokenScores()],
        problems=4,
        steps=steps,
        save=Save(every=1),
    )


def test_in_the_first_steps_only_the_reward_model_learns(tmp_path: Path) -> None:
    lm = tiny()
    before = {name: value.clone() for name, value in lm.state_dict().items()}
    run, steps = played(tmp_path / "wait", stage(WAIT), {"policy": lm})
    assert all(value.equal(before[name]) for name, value in run.lms["policy"].state_dict().items())
    scorer = run.lms["scorer"]
    assert scorer.value_head is not None and float(scorer.value_head.weight.detach().abs().max()) > 0
    assert any(not scorer.state_dict()[name].equal(value) for name, value in before.items())
    assert all(t.tracks["weight/belief"].max() == 0.5 for s in steps[0] for t in s.group.trajectories)  # a new head
    run, _ = played(tmp_path / "on", stage(WAIT + 1))
    assert any(not value.equal(before[name]) for name, value in run.lms["policy"].state_dict().items())
    assert metrics(tmp_path / "on")[0]["scorer/belief"] == pytest.approx(0.5)


def test_no_gradient_of_the_policys_loss_reaches_the_reward_model(tmp_path: Path) -> None:
    """Its weights are data in the batch, made before this step's outcome taught it."""
    seen: list[tuple[Outputs, Batch]] = []
    whole = stage(WAIT + 1)
    loss = replace(whole.train["policy"], objective=watched(CloneAndRepel(), seen))
    _, steps = played(tmp_path, replace(whole, train={**whole.train, "policy": loss}))
    tracks = seen[-1][1].tracks
    assert not any(tracks[f"weight/{name}"].requires_grad for name in ("belief", "right", "wrong"))
    told = [t.tracks["weight/right"] for s in steps[-1] for t in s.group.trajectories]
    assert {float(row.max()) for row in tracks["weight/right"]} <= {float(track.max()) for track in told}


def test_a_batch_of_one_outcome_makes_no_update_and_no_nan(tmp_path: Path) -> None:
    run, _ = played(
        tmp_path, replace(stage(2), reward=Weighted({"correct": lambda g: torch.ones(len(g.trajectories))}))
    )
    assert all(line["groups/kept"] == 0 and "loss" not in line for line in metrics(tmp_path))
    assert all(bool(value.isfinite().all()) for value in run.lms["policy"].state_dict().values())


def test_a_killed_run_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    """Both models, both optimizers, and the pass rates of the problems."""
    played(tmp_path / "whole", stage())
    killed(tmp_path / "killed", stage, at=(1, 3))
    assert same(tmp_path / "whole", tmp_path / "killed")
