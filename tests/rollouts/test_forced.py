"""Attempts whose first words are given, and two ways to play side by side."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import torch
from helpers.shapes import Letters, metrics, odd, played, tiny

from whet.contracts import check_rollout
from whet.engines.native import Native
from whet.filters.worth_thinking import WorthThinking
from whet.models.tiny import TinyQwen
from whet.objectives.clip import Clip
from whet.rewards.text import response
from whet.rollouts.beside import Beside
from whet.rollouts.forced import Forced
from whet.rollouts.sample import Sample
from whet.scoring import Weighted
from whet.stages.learning import Train
from whet.stages.rl import RL
from whet.stages.sft import worked
from whet.types import Decoding, Group, Policy, Problem, Rollout, joined

SHORT = Decoding(max_tokens=6)
THINK, NOT = Sample(4, SHORT), Forced(group=4, decoding=SHORT, trained=False)


def play(rollout: Rollout, seed: int = 0, model: Policy | None = None) -> list[Group]:
    async def once() -> list[Group]:
        return await rollout({"policy": model or Native(tiny())}, Letters().problem("train", 0), seed)

    return asyncio.run(once())


def test_attempts_begin_with_the_prefix_which_nobody_sampled():
    lm = tiny()
    (group,) = play(Forced(group=3, decoding=SHORT))
    prompt, prefix = lm.codec.tokenizer.encode("ab?"), lm.codec.tokenizer.encode("<think></think>")
    assert group.name == "no-think" and len(group.trajectories) == 3
    for t in group.trajectories:
        (row,) = t.rows
        start = len(prompt) + len(prefix)
        assert row.tokens[:start].tolist() == [*prompt, *prefix]
        assert not row.sampled[:start].any() and not row.trained[:start].any()
        assert bool(row.sampled[start:].all()) and bool(row.trained[start:].all())
        with torch.no_grad():
            logp = lm.hf(input_ids=row.tokens[None]).logits[0].log_softmax(-1)
        places = torch.arange(start, len(row))
        assert torch.allclose(row.logprobs[start:], logp[places - 1, row.tokens[places]], atol=1e-5)


def test_a_reward_reads_the_prefix_with_the_rest():
    (group,) = play(Forced(group=3, decoding=SHORT))
    for t in group.trajectories:
        assert response(t).startswith("<think></think>")
        assert [turn.role for turn in t.turns] == ["prompt", "policy", "policy"]


def test_the_prefix_is_the_very_tokens_that_were_trained_on():
    """A solution's first tokens behind the prompt, up to the answer's tag."""
    for lm in (tiny(), TinyQwen(width=32, layers=1, heads=2, kv_heads=1).build(0)):
        for prompt in ("ab?", [{"role": "user", "content": "ab?"}]):
            solution = "<think></think><answer>d</answer>"
            row = worked(lm.codec, Problem("p", prompt, info={"solution": solution}), 96).rows[0]
            opened = Forced()._opened(Native(lm), Problem("p", prompt)).rows[0]
            assert opened.tokens.equal(row.tokens[: len(opened)])
            assert lm.codec.tokenizer.decode(row.tokens[len(opened)]) == "<answer>"


def test_a_prefix_that_ends_inside_a_token_is_refused():
    model = TinyQwen(width=32, layers=1, heads=2, kv_heads=1, tokenizer="word", words=("sunset",)).build(0)
    with pytest.raises(ValueError, match="'sun' has other tokens where 'set' follows"):
        play(Forced("sun", "set", 2, SHORT), model=Native(model))
    play(Forced("sun", " set", 2, SHORT), model=Native(model))


def test_untrained_attempts_are_played_alike():
    (trained,), (other,) = play(Forced(group=3, decoding=SHORT)), play(Forced(group=3, decoding=SHORT, trained=False))
    for mine, theirs in zip(trained.trajectories, other.trajectories, strict=True):
        assert mine.rows[0].tokens.equal(theirs.rows[0].tokens)
        assert bool(joined(mine, "trained").any()) and not joined(theirs, "trained").any()
        assert bool(joined(theirs, "sampled").any())


def test_beside_plays_both_and_the_first_as_it_is_alone():
    thought, without = play(Beside(THINK, NOT), seed=3)
    (alone,) = play(THINK, seed=3)
    assert (thought.name, without.name) == ("direct", "no-think") and thought.problem == without.problem
    for mine, theirs in zip(thought.trajectories, alone.trajectories, strict=True):
        assert mine.rows[0].tokens.equal(theirs.rows[0].tokens)
        assert joined(mine, "trained").equal(joined(mine, "sampled"))
    assert not any(joined(t, "trained").any() for t in without.trajectories)


def test_groups_that_can_not_be_told_apart_are_refused():
    with pytest.raises(ValueError, match="named \\['direct', 'direct'\\]"):
        play(Beside(THINK, THINK))


def test_wrong_settings_are_refused():
    with pytest.raises(ValueError, match="at least 1 attempt"):
        Forced(group=0)
    with pytest.raises(ValueError, match="prefix is empty"):
        Forced("")


def better_without(group: Group) -> torch.Tensor:
    """[G]: attempts that thought are worse on the problem "ab?" and else not."""
    worse = group.name == "direct" and group.problem.prompt == "ab?"
    return odd(group) - (2.0 if worse else 0.0)


def test_in_the_loop_only_thoughts_that_are_no_worse_reach_the_gradient(tmp_path: Path):
    stage = RL(
        Letters(),
        Beside(THINK, NOT),
        Weighted({"accuracy": better_without}),
        {"policy": Train(Clip())},
        filter=WorthThinking(),
        problems=6,
        steps=1,
    )
    _, (scored_P,) = played(tmp_path, stage)
    assert sorted({s.group.name for s in scored_P}) == ["direct", "no-think"]
    kept = WorthThinking()(scored_P)
    assert kept and all(s.group.name == "direct" and s.group.problem.prompt != "ab?" for s in kept)
    (line,) = metrics(tmp_path)
    assert line["groups/kept"] == len(kept) and line["attempts/no-think"] == 6 * 4


def test_they_keep_the_promises_of_a_rollout():
    check_rollout(Forced("1", "2", 3, SHORT))
    check_rollout(Beside(Sample(3, SHORT), Forced("1", "2", 3, SHORT, trained=False)))
