"""PPO with a critic over turns with an environment: credit runs over what the policy said, and skips what it heard."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.shapes import metrics, played, tiny, watched
from torch import Tensor

from whet.advantages.gae import GAE
from whet.models.derived import Critic
from whet.models.tiny import ASCII
from whet.objectives.clip import Clip
from whet.objectives.value import Value
from whet.rollouts.converse import Converse
from whet.scoring import Weighted
from whet.stages.learning import Train
from whet.stages.rl import RL
from whet.tasks.guess import Guess
from whet.tracks.values import Values
from whet.types import Batch, Decoding, Group, Outputs, joined, tokens_in

TASK = Guess(tries=2)


def won(group: Group) -> Tensor:
    """+1 for a game that was won, else -1."""
    return torch.tensor([1.0 if any(turn.reward > 0 for turn in t.turns) else -1.0 for t in group.trajectories])


def stage() -> RL:
    return RL(
        task=TASK,
        rollout=Converse(TASK, group=4, decoding=Decoding(max_tokens=12, stop_tokens=tuple(range(30, 70)))),
        reward=Weighted({"won": won}),
        train={"policy": Train(Clip()), "critic": Train(Value(), rows="policy", lr=1e-2)},
        advantage=GAE(),
        tracks=[Values()],
        models={"critic": Critic()},
        problems=4,
        steps=2,
    )


def test_credit_skips_what_the_environment_said(tmp_path: Path):
    lm = tiny(context=160, alphabet=ASCII)
    before = {name: value.clone() for name, value in lm.state_dict().items()}
    run, steps = played(tmp_path, stage(), {"policy": lm})
    heard = 0
    for s in steps[0]:  # the critic's values are 0 at first, and discount and trace are 1
        credit = GAE()([s])
        assert credit.targets is not None
        for g, t in enumerate(s.group.trajectories):
            trained, reward = joined(t, "trained"), float(s.rewards[g].sum())
            assert t.tracks["values"].tolist() == [0.0] * tokens_in(t)
            assert torch.equal(credit.advantages[0][g], reward * trained.float())
            assert torch.equal(credit.targets[0][g], reward * trained.float())
            for turn in t.turns:
                if turn.role in ("env", "prompt"):
                    heard += turn.role == "env"
                    assert not trained[turn.start : turn.stop].any()
    assert heard > 0
    assert any(float(t.tracks["values"].abs().max()) > 0 for s in steps[1] for t in s.group.trajectories)
    critic = run.lms["critic"]
    assert critic.value_head is not None and lm.value_head is None
    assert float(critic.value_head.weight.detach().abs().max()) > 0  # it learned
    apart = [name for name, value in critic.state_dict().items() if name in before and not value.equal(before[name])]
    assert apart  # and its body with it, from the policy's weights on
    assert not any(value.equal(critic.state_dict()[name]) for name, value in lm.state_dict().items() if name in apart)
    lines = metrics(tmp_path)
    assert lines[0]["critic/value"] == 0 and lines[1]["critic/value"] != 0
    assert lines[0]["ratio"] == pytest.approx(1, abs=1e-5)


def test_what_was_heard_has_no_part_in_losses(tmp_path: Path):
    seen: list[tuple[Outputs, Batch]] = []
    train = {"policy": Train(watched(Clip(), seen)), "critic": Train(watched(Value(), seen), rows="policy")}
    played(tmp_path, replace(stage(), train=train, steps=1), {"policy": tiny(context=160, alphabet=ASCII)})
    (outputs, batch), (values, other) = seen
    assert torch.equal(batch.trained, other.trained) and values.values is not None
    heard = batch.valid & ~batch.trained
    for objective, out in ((Clip(), outputs), (Value(), values)):
        noise = torch.where(heard, 3.0, 0.0)
        changed = replace(out, logprobs=out.logprobs + noise, entropy=out.entropy + noise)
        if out.values is not None:
            changed = replace(changed, values=out.values + noise)
        loss, told = objective(out, batch)
        again, retold = objective(changed, batch)
        assert torch.equal(loss, again) and float(loss.detach()[~batch.trained].abs().sum()) == 0
        assert all(torch.equal(told[name][batch.trained], retold[name][batch.trained]) for name in told)
