"""A hint where every plain attempt failed; what it brought is learned as if it had never been there."""

from __future__ import annotations

import math
from asyncio import gather
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from helpers.examples import attempt, group, row, scored
from helpers.shapes import Letters, go, metrics, never, odd, played, tiny, watched

from whet.batching import collate
from whet.filters.mixed import Mixed
from whet.objectives.clip import Clip
from whet.randomness import stream
from whet.scoring import Weighted
from whet.stages.learning import Train
from whet.stages.rl import RL
from whet.types import Batch, Credit, Decoding, Group, Models, Outputs, Problem, Term, Trajectory


@dataclass(frozen=True)
class Guided:
    """y_1 .. y_G ~ policy(. | q). If none is `solved`: y'_1 .. y'_G ~ policy(. | q, hint), grafted behind q."""

    solved: Term
    hint: str = "~~"
    group: int = 4
    decoding: Decoding = Decoding(max_tokens=6)

    async def __call__(self, models: Models, problem: Problem, seed: int) -> list[Group]:
        policy, opened = models["policy"], models["policy"].open(problem)

        async def attempts(start: Trajectory, kind: str) -> list[Trajectory]:
            seeds = [stream(seed, kind, g) for g in range(self.group)]
            return await gather(*(policy.extend(start, self.decoding, s) for s in seeds))

        plain = Group(problem, tuple(await attempts(opened, "plain")))
        if torch.as_tensor(self.solved(plain)).any():
            return [plain]
        hinted = await attempts(policy.insert(opened, self.hint), "hinted")
        return [Group(problem, tuple(policy.graft(t, opened) for t in hinted), name="guided")]


def test_hinted_attempts_are_learned_behind_the_bare_prompt(tmp_path: Path):
    seen: list[tuple[Outputs, Batch]] = []
    train = {"policy": Train(watched(Clip(), seen))}
    stage = RL(Letters(), Guided(never), Weighted({"odd": odd}), train, filter=Mixed(), problems=4, steps=1)
    run, steps = played(tmp_path, stage)
    lm, hint = tiny(), run.lms["policy"].codec.tokenizer.encode("~")[0]
    (outputs, batch), (scored_P,) = seen[0], steps
    assert {s.group.name for s in scored_P} == {"guided"} and len(batch) > 0
    assert int((batch.tokens[~batch.trained & batch.valid] == hint).sum()) == 0
    for s in scored_P:
        bare = run.lms["policy"].codec.open(s.group.problem, 96).rows[0].tokens
        for t in s.group.trajectories:
            start = len(bare)
            assert t.rows[0].tokens[:start].equal(bare) and bool(t.rows[0].trained[start:].all())
            with torch.no_grad():  # the log-probs kept are those of the sampler, who saw the hint
                tokens = torch.cat([bare, torch.tensor([hint, hint]), t.rows[0].tokens[start:]])
                logp = lm.hf(input_ids=tokens[None]).logits[0].log_softmax(-1)
            said = torch.arange(start + 1, len(tokens) - 1)
            assert torch.allclose(t.rows[0].logprobs[start:], logp[said, tokens[said + 1]], atol=1e-5)
    apart = (outputs.logprobs - batch.logprobs)[batch.trained].detach()
    assert metrics(tmp_path)[0]["ratio"] == pytest.approx(float(apart.exp().mean()), rel=1e-5)
    assert float(apart.abs().max()) > 1e-3  # the correction is there, and was not computed away


def test_the_hint_is_given_only_where_all_failed(tmp_path: Path):
    stage = RL(Letters(), Guided(odd), Weighted({"odd": odd}), {"policy": Train(Clip())}, problems=6, steps=3)
    _, steps = played(tmp_path, replace(stage, rollout=Guided(odd, group=2)))
    names = [s.group.name for step in steps for s in step]
    assert {"direct", "guided"} == set(names)
    assert all(float(odd(s.group).sum()) > 0 for step in steps for s in step if s.group.name == "direct")


def test_a_guided_group_that_fails_too_changes_nothing(tmp_path: Path):
    stage = RL(Letters(), Guided(never), Weighted({"never": never}), {"policy": Train(Clip())}, filter=Mixed(), steps=1)
    lm = tiny()
    before = {name: value.clone() for name, value in lm.state_dict().items()}
    go(tmp_path, stage, {"policy": lm})
    assert all(torch.equal(value, before[name]) for name, value in lm.state_dict().items())


def test_the_ratio_of_a_guided_token():
    one = scored(group(attempt(row([1, 2], [0, 1], logprob=-1.0))), [1.0])
    batch = collate([one], Credit([[torch.tensor([0.0, 1.0])]]))
    loss, told = Clip()(Outputs(torch.tensor([[0.0, -2.0]]), torch.zeros(1, 2)), batch)
    assert loss[0, 1].item() == pytest.approx(-math.exp(-1), abs=1e-6)
    assert told["ratio"][0, 1].item() == pytest.approx(0.36788, abs=1e-5)
