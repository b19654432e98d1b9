"""ReTool: what is learned from in a turn with code in it, and what the recipe's arms share."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from whet.advantages.gae import GAE
from whet.batching import collate
from whet.engines.native import Native
from whet.models.codec import Codec
from whet.models.tiny import TinyQwen, character_tokenizer
from whet.objectives.clip import Clip
from whet.recipes.retool import STEPS, code, recipe, sign
from whet.rollouts.interact import Interact
from whet.sandbox.limits import Limits
from whet.stages.rl import RL
from whet.tools.interpreter import Interpreter
from whet.types import Decoding, Group, Outputs, Problem, Scored, Trajectory

TAGS = ["<code>", "</code>", "<interpreter>", "</interpreter>"]
MASK = [1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1]
needs_sandbox = pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")


def by_hand() -> Trajectory:
    """t t <code> c c </code> <interpreter> 4 2 </interpreter> a <eos>, where a tag is one token."""
    tokenizer = character_tokenizer()
    tokenizer.add_tokens(TAGS)
    codec = Codec(tokenizer)
    made = codec.answer(codec.open(Problem("p", "q", "42"), 64), "tt<code>cc</code>", ends=False)
    return codec.answer(codec.insert(made, "<interpreter>42</interpreter>"), "a")


def scored(*attempts: Trajectory) -> Scored:
    return asyncio.run(sign({}, Group(attempts[0].problem, attempts, "direct")))


def test_what_stands_in_the_interpreters_tags_is_masked() -> None:
    (row,) = by_hand().rows
    assert row.trained.tolist() == [False, *map(bool, MASK)]


def test_credit_without_discount_is_the_reward_at_every_token_that_is_learned_from() -> None:
    made = by_hand()
    made = replace(made, tracks={"values": torch.zeros(13)})
    given = Scored(Group(made.problem, (made,), "direct"), (torch.tensor([0.0] * 12 + [1.0]),), {})
    assert GAE()([given]).advantages[0][0].tolist() == [0, *MASK]


def test_the_interpreters_tokens_change_neither_loss_nor_entropy() -> None:
    made = replace(by_hand(), tracks={"values": torch.zeros(13)})
    given = scored(made)
    batch = collate([given], GAE()([given]))
    heard = batch.valid & ~batch.trained
    outputs = Outputs(torch.full(batch.valid.shape, -0.7), torch.full(batch.valid.shape, 0.4))
    loud = torch.where(heard, 5.0, 0.0)
    loss, told = Clip()(outputs, batch)
    other, retold = Clip()(Outputs(outputs.logprobs - loud, outputs.entropy + loud), batch)
    assert torch.equal(loss, other) and float(loss[~batch.trained].abs().sum()) == 0
    assert all(torch.equal(told[name][batch.trained], retold[name][batch.trained]) for name in told)


def _only(wanted: list[int], tokens: Tensor, logits: Tensor) -> Tensor:
    return torch.full_like(logits, -torch.inf).index_fill(0, torch.tensor([wanted[len(tokens)]]), 0.0)


def said(tool: Interpreter, *parts: str) -> Trajectory:
    """An attempt at 6*7 in which the policy says the 1st, 3rd, ... part; the interpreter must say those in between."""
    lm = TinyQwen(width=16, layers=1, context=400).build(0)
    problem = Problem("p", "6*7=", "42")
    made = lm.codec.open(problem, lm.context)
    for part in parts[:-1]:
        made = lm.codec.insert(made, part)
    wanted = lm.codec.answer(made, parts[-1]).rows[0].tokens.tolist()
    decoding = Decoding(120, stop=(tool.closes, tool.says), processors=(partial(_only, wanted),))
    rollout = Interact(tool, group=1, decoding=decoding, role=None)
    (group,) = asyncio.run(rollout({"policy": Native(lm)}, problem, 0))
    (attempt,) = group.trajectories
    assert [turn.text for turn in attempt.turns if turn.role != "prompt"] == list(parts)
    assert [turn.role for turn in attempt.turns[1:]] == ["policy", "env"] * (len(parts) // 2) + ["policy"]
    return attempt


@needs_sandbox
def test_after_an_endless_loop_the_reply_goes_on_and_the_answer_decides() -> None:
    tool = Interpreter(limits=Limits(seconds=0.5))
    loop = ("<code>while 1: 0</code>", "<interpreter>timed out</interpreter>")
    made = scored(said(tool, *loop, "<answer>42</answer>"), said(tool, *loop, "<answer>43</answer>"))
    assert [float(rewards.sum()) for rewards in made.rewards] == [1.0, -1.0]
    assert made.terms["failed"].tolist() == [1, 1] and made.terms["fixed"].tolist() == [0, 0]


@needs_sandbox
@pytest.mark.parametrize(("shared", "heard"), [(True, "42"), (False, "NameError: name 'x' is not defined")])
def test_two_blocks_of_code_are_run_in_one_namespace_or_in_fresh_ones(shared: bool, heard: str) -> None:
    first = ("<code>x=6</code>", "<interpreter></interpreter>")
    second = ("<code>print(x*7)</code>", f"<interpreter>{heard}</interpreter>")
    said(Interpreter(shared_names=shared), *first, *second, "<answer>42</answer>")


def test_no_answer_is_minus_one_and_a_right_one_without_code_is_one() -> None:
    codec = Codec(character_tokenizer())
    opened = codec.open(Problem("p", "6*7=", "42"), 99)
    texts = ("", "42", "<answer>41</answer>", "<answer>42</answer>", "<code>print(42)</code>")
    made = scored(*(codec.answer(opened, text) for text in texts))
    assert [float(rewards.sum()) for rewards in made.rewards] == [-1, -1, -1, 1, -1]


def test_an_answer_that_only_the_interpreter_printed_is_none() -> None:
    codec = Codec(character_tokenizer())
    made = codec.answer(codec.open(Problem("p", "6*7=", "42"), 200), "<code>c</code>", ends=False)
    made = codec.answer(codec.insert(made, "<interpreter><answer>42</answer></interpreter>"), "so")
    assert float(scored(made).rewards[0].sum()) == -1


def test_arms_have_the_same_task_reward_steps_and_learning_rate() -> None:
    loops: dict[str, Any] = {
        arm: next((stage for stage in stages if isinstance(stage, RL)), None) for arm, stages in recipe.arms.items()
    }
    assert loops.pop("cold") is None
    for loop in loops.values():
        own = loops["retool"]
        assert (loop.task, loop.reward, loop.train["policy"]) == (own.task, own.reward, own.train["policy"])
        assert (loop.steps, loop.problems, loop.rollout.group) == (STEPS, 8, 8)
    assert loops["retool-ppo"].advantage == GAE(1.0, 1.0) and loops["retool-ppo"].rollout is code
    assert loops["text"].rollout.decoding.max_tokens >= code.decoding.max_tokens
