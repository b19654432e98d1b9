"""Sampling inside the top-p set of another model: the set is stored with the sample, and learning looks at it."""

from __future__ import annotations

from asyncio import gather
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from helpers.shapes import Letters, metrics, odd, played, tiny, watched
from torch import Tensor

from whet.engines.native import Native
from whet.engines.sampling import keep
from whet.learners.local import Local
from whet.machines.profile import Machine
from whet.models.derived import Follow
from whet.models.lm import LM
from whet.objectives.clip import Clip
from whet.randomness import stream
from whet.rollouts.sample import Sample
from whet.run import Run
from whet.scoring import Weighted
from whet.stages.learning import Train
from whet.stages.rl import RL
from whet.types import Batch, Decoding, Group, ModelName, Models, Outputs, Problem, Scored


@dataclass(frozen=True)
class Inside:
    """A processor that allows the top-p set of `lm` after the same tokens, and at least its `least` best."""

    lm: LM
    p: float
    least: int = 1

    def __call__(self, tokens: Tensor, logits: Tensor) -> Tensor:
        with torch.no_grad():
            theirs = self.lm.logits(self.lm.hidden(tokens[None])[0, -1:])
        return logits.masked_fill(~self.kept(theirs)[0], -torch.inf)

    def kept(self, logits: Tensor) -> Tensor:
        return keep(logits, Decoding(top_p=self.p)) | keep(logits, Decoding(top_k=self.least))


@dataclass(frozen=True)
class Masked:
    """Attempts inside the top-p set of the model `mask`, step by step; the sets are the track "kept"."""

    p: float = 0.9
    group: int = 4
    max_tokens: int = 6
    mask: ModelName = "mask"

    async def __call__(self, models: Models, problem: Problem, seed: int) -> list[Group]:
        policy, mask = models["policy"], models[self.mask]
        assert isinstance(mask, Native), "the processor reads the mask model's logits itself"
        inside = Decoding(self.max_tokens, processors=(Inside(mask.lm, self.p),), store_mask=True)
        opened = policy.open(problem)
        seeds = [stream(seed, "attempt", g) for g in range(self.group)]
        return [Group(problem, tuple(await gather(*(policy.extend(opened, inside, s) for s in seeds))))]


MASK = {"mask": Follow("policy", every=2)}


def test_the_ratio_is_1_under_the_stored_mask_and_finite_ever_after(tmp_path: Path):
    seen: list[tuple[Outputs, Batch]] = []
    weights: list[dict[str, dict[str, Tensor]]] = []

    async def look(run: Run, step: int, scored_P: list[Scored]) -> None:
        now = {name: run.lms[name].state_dict() for name in ("policy", "mask")}
        weights.append({name: {k: v.clone() for k, v in w.items()} for name, w in now.items()})

    train = {"policy": Train(watched(Clip(), seen), epochs=2, lr=1e-2)}
    stage = RL(Letters(), Masked(), Weighted({"odd": odd}), train, models=MASK, problems=3, steps=4)
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
    inside = logits.log_softmax(-1).gather(2, batch.tokens[:, 1:, None])[..., 0]
    on = batch.trained[:, 1:]
    assert torch.allclose(learner.forward(batch).logprobs[:, 1:][on], inside[on], atol=1e-5)
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
    stage = RL(Letters(), Masked(p=1.0), Weighted({"odd": odd}), {"policy": Train(Clip())}, models=MASK, steps=1)
    alone = Machine(engine="reference")  # who samples under a mask; the fast tier's log-probs differ in their last bits
    _, (masked,) = played(tmp_path / "masked", stage, machine=alone)
    _, (plain,) = played(tmp_path / "plain", replace(stage, rollout=Sample(4, Decoding(6)), models={}), machine=alone)
    for one, other in zip(masked, plain, strict=True):
        for t, u in zip(one.group.trajectories, other.group.trajectories, strict=True):
            assert t.rows[0].tokens.equal(u.rows[0].tokens) and t.rows[0].logprobs.equal(u.rows[0].logprobs)


@pytest.mark.parametrize(
    ("probs", "least", "kept"),
    [
        ((0.5, 0.3, 0.15, 0.05), 1, (1, 1, 1, 0)),
        ((0.95, 0.03, 0.01, 0.01), 1, (1, 0, 0, 0)),
        ((0.95, 0.03, 0.01, 0.01), 3, (1, 1, 1, 0)),
    ],
)
def test_the_token_that_crosses_p_stays(probs: tuple[float, ...], least: int, kept: tuple[int, ...]):
    told = Inside(tiny(), 0.9, least).kept(torch.tensor([probs]).log())
    assert tuple(told[0].int().tolist()) == kept
