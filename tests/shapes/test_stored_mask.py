"""Sampling inside the top-p set of another model: the set is stored with the sample, and learning looks at it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.shapes import Letters, metrics, odd, played, watched
from torch import Tensor

from whet.learners.local import Local
from whet.machines.profile import Machine
from whet.models.derived import Follow
from whet.objectives.clip import Clip
from whet.rollouts.sample import Sample
from whet.rollouts.sample_inside import SampleInside
from whet.run import Run
from whet.scoring import Weighted
from whet.stages.learning import Train
from whet.stages.rl import RL
from whet.types import Batch, Decoding, Outputs, Scored

inside = SampleInside(top_p=0.9, group=4, decoding=Decoding(max_tokens=6))
MASK = {"mask": Follow("policy", every=2)}


def test_the_ratio_is_1_under_the_stored_mask_and_finite_ever_after(tmp_path: Path):
    seen: list[tuple[Outputs, Batch]] = []
    weights: list[dict[str, dict[str, Tensor]]] = []

    async def look(run: Run, step: int, scored_P: list[Scored]) -> None:
        now = {name: run.lms[name].state_dict() for name in ("policy", "mask")}
        weights.append({name: {k: v.clone() for k, v in w.items()} for name, w in now.items()})

    train = {"policy": Train(watched(Clip(), seen), epochs=2, lr=1e-2)}
    stage = RL(Letters(), inside, Weighted({"odd": odd}), train, models=MASK, problems=3, steps=4)
    run, steps = played(tmp_path, replace(stage, callbacks=[look]))
    for (outputs, batch), (later, _) in zip(seen[::2], seen[1::2], strict=True):
        on = batch.trained
        assert torch.allclose(outputs.logprobs[on], batch.logprobs[on], atol=1e-5)
        assert later.logprobs[on].isfinite().all() and not torch.equal(later.logprobs, outputs.logprobs)
        kept, chosen = batch.tracks["kept"][on], batch.tokens[on]
        assert kept.gather(1, chosen[:, None]).all() and not kept.all()
        mass = batch.tracks["log_kept"][on]  # log-probs are those inside the set
        assert float(mass.max()) <= 0 and float(mass.min()) < -1e-3
    assert all(line["gap/max"] < 1e-5 for line in metrics(tmp_path))
    lm, batch = run.lms["policy"], seen[0][1]  # a policy that has learned, and the mask of the first step
    learner = Local(lm, run.machine, betas=(0.9, 0.99), weight_decay=0.0, eps=1e-8)
    logits = lm.hf(input_ids=batch.tokens).logits[:, :-1].masked_fill(~batch.tracks["kept"][:, 1:], -torch.inf)
    within = logits.log_softmax(-1).gather(2, batch.tokens[:, 1:, None])[..., 0]
    on = batch.trained[:, 1:]
    assert torch.allclose(learner.forward(batch).logprobs[:, 1:][on], within[on], atol=1e-5)
    same = [
        [all(v.equal(one["mask"][k]) for k, v in other["policy"].items()) for other in weights[:i]]
        for i, one in enumerate(weights)
    ]
    assert same[2:] == [[False, True], [False, True, False]]  # the mask is what the policy was after 2 updates
    assert all(t.rows[0].truncated for step in steps for s in step for t in s.group.trajectories)


@pytest.mark.parametrize("decoding", [Decoding(6, top_p=0.8, store_mask=True), Decoding(6, top_k=5, store_mask=True)])
def test_the_policys_own_top_sets_are_stored_alike(tmp_path: Path, decoding: Decoding):
    train = {"policy": Train(Clip())}
    stage = RL(Letters(), Sample(group=4, decoding=decoding), Weighted({"odd": odd}), train, problems=3, steps=2)
    played(tmp_path, stage)
    for line in metrics(tmp_path):
        assert line["ratio"] == pytest.approx(1, abs=1e-5) and line["gap/max"] < 1e-5


def test_a_mask_that_allows_everything_changes_nothing(tmp_path: Path):
    rollout = replace(inside, top_p=1.0)
    train = {"policy": Train(Clip(), epochs=3, lr=1e-2)}
    stage = RL(Letters(), rollout, Weighted({"odd": odd}), train, models=MASK, problems=3, steps=4)
    alone = Machine(engine="reference")  # who samples under a mask; the fast tier's log-probs differ in their last bits
    one, masked = played(tmp_path / "masked", stage, machine=alone)
    other, plain = played(tmp_path / "plain", replace(stage, rollout=Sample(4, Decoding(6)), models={}), machine=alone)
    for a, b in zip((s for step in masked for s in step), (s for step in plain for s in step), strict=True):
        for t, u in zip(a.group.trajectories, b.group.trajectories, strict=True):
            assert t.rows[0].tokens.equal(u.rows[0].tokens) and t.rows[0].logprobs.equal(u.rows[0].logprobs)
            assert t.tracks["kept"].all() and not t.tracks["log_kept"].any()
    weights = [run.lms["policy"].state_dict() for run in (one, other)]
    assert all(value.equal(weights[1][name]) for name, value in weights[0].items())
