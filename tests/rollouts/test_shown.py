"""A worked answer as a group of its own, which is imitated and never compared."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.shapes import Letters, metrics, odd, played, tiny

from whet.advantages.group_mean import GroupMean
from whet.contracts import check_rollout
from whet.engines.native import Native
from whet.filters.worth_thinking import WorthThinking
from whet.objectives.clip import Clip
from whet.objectives.likelihood import Likelihood
from whet.rewards.text import response
from whet.rollouts.beside import Beside
from whet.rollouts.forced import Forced
from whet.rollouts.sample import Sample
from whet.rollouts.shown import Shown
from whet.scoring import Weighted
from whet.stages.learning import Auxiliary, Train
from whet.stages.rl import RL
from whet.types import Decoding, Group, Problem, Rollout, Scored
from whet.weightings.of_groups import OfGroups

SHORT = Decoding(max_tokens=6)
THINK = Sample(4, SHORT)
BOTH = Beside(THINK, Forced(group=4, decoding=SHORT, trained=False))


def play(rollout: Rollout, problem: Problem, seed: int = 0) -> list[Group]:
    async def once() -> list[Group]:
        return await rollout({"policy": Native(tiny())}, problem, seed)

    return asyncio.run(once())


def test_the_attempts_are_those_of_the_rollout_alone_and_the_worked_answer_comes_last():
    problem = Letters().problem("train", 0)
    *attempts, shown = play(Shown(BOTH), problem)
    alone = play(BOTH, problem)
    assert [group.name for group in attempts] == ["direct", "no-think"] and shown.name == "shown"
    for one, other in zip(attempts, alone, strict=True):
        for a, b in zip(one.trajectories, other.trajectories, strict=True):
            assert torch.equal(a.rows[0].tokens, b.rows[0].tokens)


def test_every_token_of_the_worked_answer_and_its_end_are_trained_and_none_was_sampled():
    codec = tiny().codec
    problem = Letters().problem("train", 0)
    (trajectory,) = play(Shown(THINK), problem)[-1].trajectories
    (row,) = trajectory.rows
    prompt = codec.open(problem, 100).rows[0].tokens.tolist()
    answer = [*codec.tokenizer.encode("dcd1", add_special_tokens=False), codec.eos[0]]
    assert row.tokens.tolist() == [*prompt, *answer]
    assert row.trained.tolist() == [False] * len(prompt) + [True] * len(answer)
    assert not row.sampled.any() and not row.logprobs.any()
    assert trajectory.stop == "eos" and response(trajectory) == "dcd1"


def test_a_problem_without_a_worked_answer_is_played_alone():
    assert [group.name for group in play(Shown(THINK, solution="other"), Letters().problem("train", 0))] == ["direct"]


def test_an_answer_that_does_not_fit_is_not_shown():
    long = replace(Letters().problem("train", 0), info={"solution": "a" * 10_000})
    assert [group.name for group in play(Shown(THINK), long)] == ["direct"]


def test_what_can_not_be_shown_is_refused():
    with pytest.raises(ValueError, match="must be a text to show, got list"):
        play(Shown(THINK), replace(Letters().problem("train", 0), info={"solution": ["a"]}))
    with pytest.raises(ValueError, match="has such a group too"):
        play(Shown(THINK, name="direct"), Letters().problem("train", 0))


def test_the_filter_lets_it_through_and_its_advantage_is_nothing():
    groups = play(Shown(BOTH), Letters().problem("train", 0))
    values = {"direct": -2.0, "no-think": 2.0, "shown": 2.0}  # no thought is as good as none
    scored_P = []
    for group in groups:
        count = len(group.trajectories)
        rewards = tuple(torch.ones(len(t.rows[0])) for t in group.trajectories)
        scored_P.append(Scored(group, rewards, {"accuracy": torch.full((count,), values[group.name])}))
    kept = WorthThinking()(scored_P)
    assert [scored.group.name for scored in kept] == ["shown"]
    assert not any(values.any() for values in GroupMean()(kept).advantages[0])


def test_cloning_alone_makes_the_worked_answer_likelier(tmp_path: Path):
    clone = Auxiliary(Likelihood(), OfGroups(("shown",)), 1.0)
    train = {"policy": Train(Clip(), OfGroups(("direct",)), lr=3e-3, auxiliary={"clone": clone})}
    stage = RL(Letters(), Shown(THINK), Weighted({"correct": odd}), train, problems=3, steps=6)
    played(tmp_path, stage)
    losses = [line["clone/loss"] for line in metrics(tmp_path)]
    assert losses[-1] < 0.8 * losses[0]


def test_it_keeps_the_contract_of_rollouts():
    check_rollout(Shown(THINK))
    check_rollout(Shown(THINK), Letters())
