"""Two models that both learn: one writes hints, the other solves with them and so pays the first."""

from __future__ import annotations

from asyncio import gather
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from helpers.shapes import Letters, metrics, odd, played, tiny, watched
from torch import Tensor

from whet.advantages.group_mean import GroupMean
from whet.models.derived import Copy
from whet.objectives.clip import Clip
from whet.randomness import stream
from whet.scoring import Weighted
from whet.stages.learning import Train
from whet.stages.rl import RL
from whet.types import Batch, Decoding, Group, ModelName, Models, Outputs, Problem, Term


@dataclass(frozen=True)
class Hinted:
    """z_1 .. z_m ~ writer(. | x); y_1 .. y_K ~ policy(. | x, z_i). Groups: "hint", the m hints of x, each with the
    share of its answers that are right as `info["success"]`; "answer", the K answers to one (x, z)."""

    solved: Term
    hints: int = 3
    answers: int = 4
    decoding: Decoding = Decoding(max_tokens=4)
    writer: ModelName = "writer"

    async def __call__(self, models: Models, problem: Problem, seed: int) -> list[Group]:
        writer, policy = models[self.writer], models["policy"]
        asked, opened = writer.open(problem), policy.open(problem)
        seeds = [stream(seed, "hint", i) for i in range(self.hints)]
        hints = await gather(*(writer.extend(asked, self.decoding, s) for s in seeds))

        async def answers(i: int) -> Group:
            with_hint = policy.insert(opened, hints[i].turns[-1].text)
            seeds = [stream(seed, "answer", i, k) for k in range(self.answers)]
            said = await gather(*(policy.extend(with_hint, self.decoding, s) for s in seeds))
            return Group(problem, tuple(said), "answer")

        groups = await gather(*(answers(i) for i in range(self.hints)))
        success = [float(torch.as_tensor(self.solved(group)).mean()) for group in groups]
        paid = tuple(replace(z, info={"success": s}) for z, s in zip(hints, success, strict=True))
        return [Group(problem, paid, "hint"), *groups]


def paid(group: Group) -> Tensor:
    """A hint earns what it brings; an answer that is right earns 1, if there was a hint at all."""
    if group.name == "hint":
        return torch.tensor([t.info["success"] for t in group.trajectories])
    hinted = [any(turn.text.strip() for turn in t.turns if turn.role == "env") for t in group.trajectories]
    return odd(group) * torch.tensor(hinted)


def test_both_models_learn_from_their_own_rows(tmp_path: Path):
    seen: dict[str, list[tuple[Outputs, Batch]]] = {"policy": [], "writer": []}
    train = {name: Train(watched(Clip(), seen[name])) for name in seen}
    models = {"writer": Copy("policy")}
    stage = RL(Letters(), Hinted(odd), Weighted({"paid": paid}), train, models=models, problems=3, steps=2)
    lm = tiny()
    before = {name: value.clone() for name, value in lm.state_dict().items()}
    run, steps = played(tmp_path, stage, {"policy": lm})
    for name in seen:
        assert all(set(batch.model) == {name} for _, batch in seen[name])
        assert any(not value.equal(before[key]) for key, value in run.lms[name].state_dict().items())
    assert any(not v.equal(run.lms["writer"].state_dict()[key]) for key, v in lm.state_dict().items())
    assert len(seen["writer"][0][1]) == 3 * 3 and len(seen["policy"][0][1]) == 3 * 3 * 4  # exactly m and m * K calls
    for scored_P in steps:
        for slot in range(3):
            hint, *answers = [s for s in scored_P if s.group.slot == slot]
            rates = [float(odd(s.group).mean()) for s in answers]
            assert [float(r.sum()) for r in hint.rewards] == pytest.approx(rates)
            for z, s in zip(hint.group.trajectories, answers, strict=True):
                assert all(t.turns[1].text == z.turns[-1].text for t in s.group.trajectories)
                assert not any(bool(t.rows[0].trained[: t.turns[1].stop].any()) for t in s.group.trajectories)
    for line in metrics(tmp_path):
        assert line["ratio"] == pytest.approx(1, abs=1e-5) and line["writer/ratio"] == pytest.approx(1, abs=1e-5)


def test_hints_that_bring_the_same_get_no_credit(tmp_path: Path):
    def half(group: Group) -> Tensor:
        return torch.tensor([1.0, 0.0, 0.0, 1.0])

    stage = RL(Letters(), Hinted(half), Weighted({"paid": paid}), {"writer": Train(Clip())}, problems=1, steps=1)
    stage = replace(stage, models={"writer": Copy()})
    _, ((hint, *_),) = played(tmp_path, stage)
    assert [float(r.sum()) for r in hint.rewards] == [0.5] * 3
    assert all(float(a.abs().sum()) == 0 for a in GroupMean()([hint]).advantages[0])
