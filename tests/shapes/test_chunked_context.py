"""Thinking in chunks of constant size: the context is thrown away and reopened from its head and a tail."""

from __future__ import annotations

import asyncio
from asyncio import gather
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from helpers.shapes import Letters, metrics, odd, played, tiny, watched
from torch import Tensor

from whet.engines.native import Native
from whet.models.tiny import ASCII
from whet.objectives.clip import Clip
from whet.randomness import stream
from whet.scoring import Weighted
from whet.stages.learning import Train
from whet.stages.rl import RL
from whet.types import Batch, Decoding, Group, Models, Outputs, Policy, Problem, Trajectory
from whet.weightings.sequence_mean import SequenceMean


@dataclass(frozen=True)
class Chunks:
    """Chunk 1: the prompt q and up to `chunk` tokens y_1. Chunk k: q, y_1[:head], y_{k-1}[-carry:], and up to
    chunk - carry more; at most `chunks` of them."""

    chunk: int
    carry: int
    chunks: int
    head: int
    group: int = 4
    decoding: Decoding = Decoding()

    def __post_init__(self) -> None:
        if self.carry >= self.chunk:
            raise ValueError(f"Chunks.carry must be below chunk, got {self.carry} and {self.chunk}")

    async def __call__(self, models: Models, problem: Problem, seed: int) -> list[Group]:
        seeds = [stream(seed, "attempt", g) for g in range(self.group)]
        attempts = await gather(*(self.attempt(models["policy"], problem, s) for s in seeds))
        return [Group(problem, tuple(attempts))]

    async def attempt(self, policy: Policy, problem: Problem, seed: int) -> Trajectory:
        opened = policy.open(problem)
        trace = await policy.extend(opened, replace(self.decoding, max_tokens=self.chunk), seed)
        start = [*opened.rows[0].tokens.tolist(), *trace.rows[0].tokens[trace.rows[0].sampled].tolist()[: self.head]]
        while trace.stop == "length" and len(trace.rows) < self.chunks:
            said = trace.rows[-1].tokens[trace.rows[-1].sampled].tolist()
            trace = policy.reopen(trace, [*start, *said[len(said) - self.carry :]])
            room = replace(self.decoding, max_tokens=self.chunk - self.carry)
            trace = await policy.extend(trace, room, stream(seed, "chunk", len(trace.rows)))
        return trace


def test_a_chunk_is_the_prompt_the_head_and_the_tail(tmp_path: Path):
    seen: list[tuple[Outputs, Batch]] = []
    rollout = Chunks(chunk=8, carry=4, chunks=4, head=2)
    train = {"policy": Train(watched(Clip(), seen), SequenceMean())}
    stage = RL(Letters(), rollout, Weighted({"odd": odd}), train, problems=3, steps=2)
    _, steps = played(tmp_path, stage)
    traces = [t for step in steps for s in step for t in s.group.trajectories]
    assert max(len(t.rows) for t in traces) == 4
    for trace in traces:
        first = trace.rows[0]
        prompt, said = first.tokens[~first.sampled].tolist(), first.tokens[first.sampled].tolist()
        for before, row in zip(trace.rows, trace.rows[1:], strict=False):
            assert row.tokens[~row.sampled].tolist() == prompt + said[:2] + before.tokens[-4:].tolist()
            assert int(row.sampled.sum()) <= 4 and torch.equal(row.trained, row.sampled)
    # Each trace has one weight in all, and the denominator counts what was generated only.
    for outputs, batch in seen:
        count = len(batch.trajectory.unique())
        for number in batch.trajectory.unique():
            mine = batch.trajectory == number
            assert batch.weights[mine].sum().item() == pytest.approx(1 / count)
            assert len(batch.advantages[mine][batch.trained[mine]].unique()) == 1
        assert torch.allclose(outputs.logprobs[batch.trained], batch.logprobs[batch.trained], atol=1e-5)
    assert [line["ratio"] for line in metrics(tmp_path)] == pytest.approx([1, 1], abs=1e-5)


@dataclass(frozen=True)
class Stream:
    """A processor that allows one token: 20, 21, 22, ..., and EOS (1) behind `last`."""

    last: int = 100

    def __call__(self, tokens: Tensor, logits: Tensor) -> Tensor:
        now = int(tokens[-1])
        following = 20 if now > 60 else 1 if now == self.last else now + 1
        return logits.masked_fill(torch.arange(len(logits)) != following, -torch.inf)


def test_the_chunk_prompts_of_a_known_stream():
    policy = Native(tiny(alphabet=ASCII))
    q = policy.open(Problem("p", "yz")).rows[0].tokens.tolist()

    def play(*numbers: int, last: int = 100) -> tuple[Trajectory, list[list[int]], list[list[int]]]:
        rollout = Chunks(*numbers, decoding=Decoding(processors=(Stream(last),)))
        trace = asyncio.run(rollout.attempt(policy, Problem("p", "yz"), 0))
        kept = [(row.tokens[~row.sampled].tolist(), row.tokens[row.sampled].tolist()) for row in trace.rows]
        return trace, [k[0] for k in kept], [k[1] for k in kept]

    trace, prompts, said = play(8, 4, 4, 2)
    assert prompts == [q, [*q, 20, 21, *range(24, 28)], [*q, 20, 21, *range(28, 32)], [*q, 20, 21, *range(32, 36)]]
    assert said == [[*range(20, 28)], [*range(28, 32)], [*range(32, 36)], [*range(36, 40)]] and trace.stop == "length"
    trace, _, said = play(8, 4, 4, 2, last=21)
    assert said == [[20, 21, 1]] and trace.stop == "eos"
    _, _, said = play(8, 4, 4, 2, last=26)  # EOS as the last token of a chunk opens no other
    assert said == [[*range(20, 27), 1]]
    _, prompts, _ = play(8, 0, 2, 2)
    assert prompts[1] == [*q, 20, 21]  # nothing carried over: prompt and head alone
    with pytest.raises(ValueError, match="carry must be below chunk"):
        Chunks(8, 8, 4, 2)
