"""A copy that follows slowly: thoughts are paid by how much they help, against a teacher that did not think."""

from __future__ import annotations

from asyncio import gather
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from helpers.examples import attempt, group, row, scored
from helpers.shapes import Letters, go, killed, metrics, odd, played, same, tiny
from torch import Tensor

from whet.advantages.leave_one_out import LeaveOneOut
from whet.models.derived import Follow
from whet.objectives.clip import Clip
from whet.objectives.with_kl import WithKL
from whet.randomness import stream
from whet.rollouts.sample import Sample
from whet.run import Run, Save
from whet.scoring import Weighted
from whet.stages.learning import Train
from whet.stages.rl import RL
from whet.tracks.reference import Logprobs
from whet.types import Decoding, Group, Models, Problem, Scored, Trajectory
from whet.weightings.sequence_mean import SequenceMean


@dataclass(frozen=True)
class Think:
    """c ~ policy(. | x), then the true continuation y behind it: row 0 is x, c, y, and row 1 is x, y. Only c is
    trained."""

    group: int = 4
    decoding: Decoding = Decoding(max_tokens=5)
    text: str = "dcd"

    async def __call__(self, models: Models, problem: Problem, seed: int) -> list[Group]:
        policy, opened = models["policy"], models["policy"].open(problem)
        seeds = [stream(seed, "thought", g) for g in range(self.group)]
        thoughts = await gather(*(policy.extend(opened, self.decoding, s) for s in seeds))
        bare = policy.insert(opened, self.text).rows[0].tokens.tolist()
        return [Group(problem, tuple(policy.reopen(policy.insert(t, self.text), bare) for t in thoughts))]


def gain(group: Group) -> Tensor:
    """log p(y | x, c) under the policy - log p(y | x) under the teacher: [G], in nats."""

    def of(t: Trajectory) -> Tensor:
        said = next(turn for turn in t.turns if turn.role == "env")
        count = said.stop - said.start
        return t.tracks["thinking"][said.start : said.stop].sum() - t.tracks["without"][-count:].sum()

    return torch.stack([of(t) for t in group.trajectories])


def stage(follow: Follow) -> RL:
    return RL(
        Letters(),
        Think(),
        Weighted({"gain": gain}),
        {"policy": Train(Clip(), SequenceMean(), lr=1e-2)},
        LeaveOneOut(),
        tracks=[Logprobs("policy", "thinking"), Logprobs("teacher", "without")],
        models={"teacher": follow},
        problems=3,
        steps=4,
        save=Save(every=1),
    )


def logp(lm: torch.nn.Module, tokens: Tensor, count: int) -> float:
    """Of the last `count` tokens, by a full forward of plain transformers."""
    with torch.no_grad():
        told = lm.hf(input_ids=tokens[None]).logits[0].log_softmax(-1)  # pyright: ignore[reportCallIssue]
    return float(told[:-1].gather(1, tokens[1:, None])[-count:].sum())


@pytest.mark.parametrize("follow", [Follow(tau=0.999), Follow(every=2)], ids=["tau", "every"])
def test_the_teacher_follows_exactly_and_thoughts_are_paid_against_it(tmp_path: Path, follow: Follow):
    names = ("policy", "teacher")
    start = tiny().state_dict()
    told: list[dict[str, dict[str, Tensor]]] = []

    async def look(run: Run, step: int, scored_P: list[Scored]) -> None:
        told.append({n: {k: v.clone() for k, v in run.lms[n].state_dict().items()} for n in names})

    _, steps = played(tmp_path, replace(stage(follow), callbacks=[look]))
    assert all(value.equal(start[name]) for name, value in told[0]["teacher"].items())  # a copy at first
    for k in range(1, 4):  # callbacks come before an update is published: teacher k has followed k updates
        for name, value in told[k]["teacher"].items():
            before, source = told[k - 1]["teacher"][name], told[k - 1]["policy"][name]
            moved = before.lerp(source, 1 - follow.tau) if follow.tau else before if k % 2 else source
            assert value.equal(moved)
    lm = tiny()
    for k, scored_P in enumerate(steps):
        weights = [told[k - 1]["policy"] if k else start, told[k]["teacher"]]
        for s in scored_P[:1]:
            for t, reward in zip(s.group.trajectories, s.rewards, strict=True):
                lm.load_state_dict(weights[0])
                thinking = logp(lm, t.rows[0].tokens, 3)
                lm.load_state_dict(weights[1])
                assert float(reward.sum()) == pytest.approx(thinking - logp(lm, t.rows[1].tokens, 3), abs=1e-4)
                first = t.rows[0]
                assert torch.equal(first.trained, first.sampled) and not first.trained[-3:].any()
                assert not t.rows[1].trained.any()
                assert float(reward[: len(first) - 4].abs().sum()) == 0  # it falls on the thought's last token


@pytest.mark.parametrize("follow", [Follow(tau=0.9), Follow(every=2)], ids=["tau", "every"])
def test_the_teacher_is_the_same_after_a_kill(tmp_path: Path, follow: Follow):
    go(tmp_path / "whole", stage(follow))
    killed(tmp_path / "broken", lambda: stage(follow), [1, 3])
    assert same(tmp_path / "whole", tmp_path / "broken")


def test_the_distance_to_a_reference_that_is_reset_is_0_after_each_reset(tmp_path: Path):
    train = {"policy": Train(WithKL(Clip()), lr=1e-2)}
    rollout = Sample(group=4, decoding=Decoding(max_tokens=4))
    models = {"reference": Follow("policy", every=2)}
    stage = RL(Letters(), rollout, Weighted({"odd": odd}), train, tracks=[Logprobs()], models=models, steps=5)
    go(tmp_path, stage)
    far = [line["kl"] for line in metrics(tmp_path)]
    assert [kl < 1e-6 for kl in far] == [True, False, True, False, True]


def test_published_numbers():
    ones, zeros = tiny(), tiny()
    with torch.no_grad():
        for one, zero in zip(ones.parameters(), zeros.parameters(), strict=True):
            one.fill_(1)
            zero.fill_(0)
    Follow(tau=0.999).follow(zeros, ones, 1)
    assert all(float((p - 0.001).detach().abs().max()) < 1e-7 for p in zeros.parameters())
    gains = [value + 1.5 for value in (-1.0, -2.0, -0.5)]
    credit = LeaveOneOut()([scored(group(*[attempt(row([1, 2], [0, 1])) for _ in gains]), gains)])
    assert [round(float(a[1]), 6) for a in credit.advantages[0]] == [0.25, -1.25, 1.0]
