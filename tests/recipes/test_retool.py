"""ReTool: what its arms differ in, what of a trace is learned, and what an endless loop comes to."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest
from helpers.runs import Listed, go

from whet.advantages.gae import GAE
from whet.engines.native import Native
from whet.models.tiny import TinyQwen
from whet.objectives.likelihood import Likelihood
from whet.recipes.retool import STEPS, by_hand, either, recipe, right, tiny
from whet.rollouts.interact import Interact
from whet.sandbox.limits import Limits
from whet.stages.evaluate import Evaluate
from whet.stages.learning import Train
from whet.stages.rl import RL
from whet.stages.sft import SFT, worked
from whet.tools.interpreter import Interpreter
from whet.types import Decoding, Problem

needs_sandbox = pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")


def of(arm: str, kind: type) -> Any:
    return next(stage for stage in recipe.arms[arm] if isinstance(stage, kind))


def test_the_arms_have_the_same_problems_rewards_and_steps_and_imitate_as_long():
    first = of("text", RL)
    for arm in ("retool", "retool-grpo"):
        rl = of(arm, RL)
        assert rl.task == first.task and rl.reward == first.reward and rl.train["policy"] == first.train["policy"]
        assert (rl.problems, rl.steps, rl.rollout.group) == (first.problems, STEPS, first.rollout.group)
        assert rl.rollout.decoding.max_tokens == first.rollout.decoding.max_tokens
    assert of("text", SFT).task == by_hand and of("retool", SFT).task == either
    assert all(of(arm, SFT).steps == of("text", SFT).steps for arm in recipe.arms)
    assert all(of(arm, Evaluate).task == by_hand for arm in recipe.arms)
    assert of("retool", RL).advantage == first.advantage == GAE(discount=1.0, trace=1.0, whiten=True)
    assert of("text", RL).train["policy"].objective == of("retool-grpo", RL).train["policy"].objective


def test_only_the_answer_is_rewarded():
    assert right.weights == {"calls": 0.0} and set(right.terms) == {"correct", "calls"}


def test_the_longest_trace_fits_and_every_token_of_it_is_known():
    codec = tiny.build(0).codec
    for i in range(200):
        (row,) = worked(codec, either.problem("train", i), tiny.context).rows
        assert codec.tokenizer.unk_token_id not in row.tokens.tolist()


@needs_sandbox
def test_an_endless_loop_times_out_and_the_reply_goes_on_to_its_answer(tmp_path: Path):
    trace = [
        {"role": "assistant", "content": "<code>while 1:pass</code>"},
        {"role": None, "content": "<interpreter>timed out</interpreter>"},
        {"role": "assistant", "content": "<answer>5</answer>"},
    ]
    problem = Problem("p", [{"role": "user", "content": "2+3=?"}], "5", {"solution": trace})
    lm = TinyQwen(width=32, layers=1, heads=2, kv_heads=1, context=100).build(0)
    learn = Train(Likelihood(), lr=1e-2, betas=(0.9, 0.95))
    run = go(tmp_path, SFT(Listed((problem,)), steps=60, problems=1, train=learn), lm=lm)
    tool = Interpreter(limits=Limits(seconds=0.3))
    greedy = Decoding(40, 0.0, stop=(tool.closes, tool.says))
    engine = {"policy": Native(run.lms["policy"])}
    (group,) = asyncio.run(Interact(tool, 1, greedy, role=None)(engine, problem, 0))
    (attempt,) = group.trajectories
    assert [(turn.role, turn.text) for turn in attempt.turns[1:]] == [
        ("policy", "<code>while 1:pass</code>"),
        ("env", "<interpreter>timed out</interpreter>"),
        ("policy", "<answer>5</answer>"),
    ]
    scored = asyncio.run(right({}, group))
    assert float(scored.rewards[0].sum()) == 1 and scored.terms["calls"].tolist() == [1]
    (shown,) = worked(lm.codec, problem, 100).rows
    assert attempt.rows[0].tokens.equal(shown.tokens) and attempt.rows[0].trained.equal(shown.trained)
