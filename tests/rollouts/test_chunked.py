"""Chunks by hand: a model that can only say 20, 21, 22, ... shows which tokens each context is made of."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.model_small import shaken
from helpers.shapes import Letters, metrics, odd, played, tiny, watched
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from whet.batching import supervised
from whet.callbacks.context import peak_context
from whet.engines.native import Native
from whet.models.surgery import given as given_row
from whet.models.tiny import ASCII, TinyQwen
from whet.objectives.clip import Clip
from whet.randomness import stream
from whet.rollouts.chunked import Chunked
from whet.rollouts.sample import Sample
from whet.scoring import Weighted
from whet.stages.learning import Train
from whet.stages.rl import RL
from whet.types import Batch, Decoding, Media, Outputs, Problem, Trajectory
from whet.weightings.sequence_mean import SequenceMean


@dataclass(frozen=True)
class Stream:
    """A processor that allows one token: 20, 21, 22, ..., and EOS (1) behind `last`."""

    last: int = 100

    def __call__(self, tokens: Tensor, logits: Tensor) -> Tensor:
        now = int(tokens[-1])
        following = 20 if now > 60 else 1 if now == self.last else now + 1
        return logits.masked_fill(torch.arange(len(logits)) != following, -torch.inf)


@pytest.fixture(scope="module")
def policy() -> Native:
    return Native(tiny(alphabet=ASCII))


ASKED = Problem("p", "yz")  # two tokens above 60


def chunked(full: int, carry: int, chunks: int, head: int = 0, **more: Any) -> Chunked:
    return Chunked(carry, chunks, head, decoding=Decoding(max_tokens=full, **more), group=1)


def play(rollout: Any, policy: Native, problem: Problem = ASKED, seed: int = 0) -> list[Trajectory]:
    (group,) = asyncio.run(rollout({"policy": policy}, problem, seed))
    return list(group.trajectories)


def streamed(policy: Native, *numbers: int, last: int = 100) -> tuple[Trajectory, list[list[int]], list[list[int]]]:
    """An attempt, its contexts and what was generated in each."""
    (trace,) = play(chunked(*numbers, processors=(Stream(last),)), policy)
    contexts = [row.tokens[~row.sampled].tolist() for row in trace.rows]
    return trace, contexts, [row.tokens[row.sampled].tolist() for row in trace.rows]


def test_contexts_are_prompt_head_and_the_tail_of_the_chunk_before(policy: Native):
    q = policy.open(ASKED).rows[0].tokens.tolist()
    trace, contexts, said = streamed(policy, 8, 4, 4, 2)
    assert len(q) == 2
    assert contexts == [q, [*q, 20, 21, *range(24, 28)], [*q, 20, 21, *range(28, 32)], [*q, 20, 21, *range(32, 36)]]
    assert said == [[*range(20, 28)], [*range(28, 32)], [*range(32, 36)], [*range(36, 40)]]
    assert trace.stop == "length" and sum(map(len, said)) == 20 == chunked(8, 4, 4, 2).limit
    assert all(torch.equal(row.trained, row.sampled) for row in trace.rows)
    assert [turn.role for turn in trace.turns] == ["prompt", "policy"] * 4


def test_the_budget_is_that_of_the_paper():
    paper = chunked(8192, 4096, 5, 100)
    assert paper.limit == 24576
    assert replace(paper, chunks=1).limit == 8192


def test_eos_inside_a_chunk_ends_the_attempt(policy: Native):
    trace, contexts, said = streamed(policy, 8, 4, 4, 2, last=21)
    assert said == [[20, 21, 1]] and len(contexts) == 1 and trace.stop == "eos"


def test_eos_as_the_last_token_of_a_chunk_opens_no_other(policy: Native):
    trace, _, said = streamed(policy, 8, 4, 4, 2, last=26)
    assert said == [[*range(20, 27), 1]] and trace.stop == "eos"
    trace, _, said = streamed(policy, 8, 4, 4, 2, last=30)  # of the second chunk
    assert said == [[*range(20, 28)], [28, 29, 30, 1]] and trace.stop == "eos"


def test_nothing_carried_over_leaves_prompt_and_head(policy: Native):
    q = policy.open(ASKED).rows[0].tokens.tolist()
    _, contexts, said = streamed(policy, 8, 0, 2, 2)
    assert contexts[1] == [*q, 20, 21] and said[1] == [*range(22, 30)]


def test_a_carry_longer_than_a_later_chunk_reaches_no_older_chunk(policy: Native):
    """C = 8 and m = 6: later chunks write two tokens, and hand on these two alone."""
    q = policy.open(ASKED).rows[0].tokens.tolist()
    _, contexts, said = streamed(policy, 8, 6, 3)
    assert contexts == [q, [*q, *range(22, 28)], [*q, 28, 29]]
    assert said == [[*range(20, 28)], [28, 29], [30, 31]]


def test_the_ending_reads_what_was_carried_over_with_what_was_generated(policy: Native):
    trace, _, _ = streamed(policy, 8, 4, 2, 2)
    assert trace.info["ending"] == policy.codec.text([*range(24, 32)])
    (trace,) = play(chunked(8, 4, 1, processors=(Stream(),)), policy)
    assert trace.info["ending"] == policy.codec.text([*range(20, 28)])


def test_one_chunk_is_a_plain_sample_to_the_token():
    policy = Native(shaken(TinyQwen(width=32, layers=1, heads=2, kv_heads=1)))
    plain = Sample(group=5, decoding=Decoding(max_tokens=9))
    for mine, theirs in zip(play(Chunked(3, 1, 2, 5, plain.decoding), policy), play(plain, policy), strict=True):
        assert torch.equal(mine.rows[0].tokens, theirs.rows[0].tokens)
        assert torch.equal(mine.rows[0].logprobs, theirs.rows[0].logprobs)
        assert mine.stop == theirs.stop


def test_nothing_leaks_from_the_context_that_was_thrown_away():
    """A chunk played by another engine, which has never seen what came before, is the same to the bit."""
    lm = tiny()
    traces = play(replace(chunked(8, 4, 4, 1), group=6), Native(lm), Problem("p", "abab?"))
    later = [(g, i) for g, trace in enumerate(traces) for i in range(1, len(trace.rows))]
    assert len(later) > 6
    for g, i in later:
        row, fresh = traces[g].rows[i], Native(lm)
        assert not fresh.read
        alone = fresh.reopen(fresh.open(ASKED), row.tokens[~row.sampled].tolist())
        seed = stream(stream(0, "attempt", g), "chunk", i + 1)
        again = asyncio.run(fresh.extend(alone, Decoding(max_tokens=4), seed)).rows[-1]
        assert torch.equal(again.tokens, row.tokens) and torch.equal(again.logprobs, row.logprobs)


def test_a_trace_weighs_as_one_whatever_its_chunks_and_ratios_start_at_one(tmp_path: Path):
    seen: list[tuple[Outputs, Batch]] = []
    rollout = Chunked(carry=4, chunks=4, head=2, group=4, decoding=Decoding(max_tokens=8))
    train = {"policy": Train(watched(Clip(), seen), SequenceMean())}
    stage = RL(Letters(), rollout, Weighted({"odd": odd}), train, problems=3, steps=2)
    _, steps = played(tmp_path, stage)
    traces = [t for step in steps for s in step for t in s.group.trajectories]
    counts = {len(t.rows) for t in traces}
    assert 4 in counts and len(counts) > 1
    longest = max(len(t.rows[0].tokens[~t.rows[0].sampled]) for t in traces)
    assert max(map(peak_context, traces)) <= longest + 2 + 8
    for outputs, batch in seen:
        number = len(batch.trajectory.unique())
        for trace in batch.trajectory.unique():
            mine = batch.trajectory == trace
            generated = int(batch.trained[mine].sum())
            on = batch.weights[mine][batch.trained[mine]]
            assert torch.allclose(on, torch.tensor(1 / (number * generated)))  # per trace, not per chunk
            assert not batch.weights[mine][~batch.trained[mine]].any()
            assert len(batch.advantages[mine][batch.trained[mine]].unique()) == 1
        # The engine's log-probs are those of each chunk behind its own context, as the learner sees it.
        assert torch.allclose(outputs.logprobs[batch.trained], batch.logprobs[batch.trained], atol=1e-5)
    assert [line["ratio"] for line in metrics(tmp_path)] == pytest.approx([1, 1], abs=1e-5)


def test_the_denominator_of_twenty_generated_tokens_is_twenty():
    """The unit trace has 20 generated tokens and 18 that were put before them again."""
    rows = chunked(8, 4, 4, 2).rows(answer(2, 20)).rows
    assert [len(row) for row in rows] == [10, 12, 12, 12]
    assert [int(row.trained.sum()) for row in rows] == [8, 4, 4, 4]
    assert sum(len(row) for row in rows) - 20 - 4 * 2 == 18
    batch = supervised([chunked(8, 4, 4, 2).rows(answer(2, 20))])
    assert torch.allclose(SequenceMean()(batch)[batch.trained], torch.tensor(1 / 20))


# --- worked answers


def answer(prompt: int, count: int) -> Trajectory:
    """Tokens 0, 1, ... of a prompt, and 100, 101, ... of an answer, in one row."""
    row = given_row([*range(prompt), *range(100, 100 + count)])
    trained = torch.arange(len(row)) >= prompt
    return Trajectory(ASKED, (replace(row, trained=trained),))


def test_a_worked_answer_is_cut_as_it_would_have_been_generated(policy: Native):
    rows = chunked(8, 4, 4, 2).rows(answer(2, 20)).rows
    said = [row.tokens[row.trained].tolist() for row in rows]
    assert said == [[*range(100, 108)], [*range(108, 112)], [*range(112, 116)], [*range(116, 120)]]
    assert rows[2].tokens[~rows[2].trained].tolist() == [0, 1, 100, 101, *range(108, 112)]
    _, contexts, _ = streamed(policy, 8, 4, 4, 2)
    assert [len(c) for c in contexts] == [int((~row.trained).sum()) for row in rows]


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 9), st.integers(0, 8), st.integers(0, 8), st.integers(1, 6), st.integers(1, 40))
def test_every_token_of_a_worked_answer_is_trained_once(full: int, carry: int, head: int, chunks: int, count: int):
    if carry + head >= full:
        return
    rollout = chunked(full, carry, chunks, head)
    rows = rollout.rows(answer(3, count)).rows
    assert (len(rows) <= chunks) == (count <= rollout.limit)
    trained = [token for row in rows for token in row.tokens[row.trained].tolist()]
    assert trained == [*range(100, 100 + count)]
    for before, row in pairwise(rows):
        context, said = row.tokens[~row.trained].tolist(), before.tokens[before.trained].tolist()
        assert context == [0, 1, 2, *range(100, 100 + head), *said[max(len(said) - carry, 0) :]]
        assert len(row) <= 3 + head + full


def test_a_short_answer_stays_in_one_row_and_the_worked_answer_as_it_was():
    worked = answer(3, 8)
    (row,) = chunked(8, 4, 4, 2).rows(worked).rows
    assert torch.equal(row.tokens, worked.rows[0].tokens) and torch.equal(row.trained, worked.rows[0].trained)
    long = answer(3, 12)
    chunked(8, 4, 4, 2).rows(long)
    assert int(long.rows[0].trained.sum()) == 12


def test_dialogues_and_media_are_refused(policy: Native):
    worked = answer(3, 12)
    broken = worked.rows[0].trained.clone()
    broken[7] = False
    with pytest.raises(ValueError, match="has more turns"):
        chunked(8, 4, 4).rows(replace(worked, rows=(replace(worked.rows[0], trained=broken),)))
    picture = Media("image", torch.zeros(1), 1)
    with pytest.raises(ValueError, match="has media; ask in text"):
        chunked(8, 4, 4).rows(replace(worked, rows=(replace(worked.rows[0], media=(picture,)),)))


@pytest.mark.parametrize("carry", [8, 9])
def test_a_carry_that_fills_the_chunk_is_refused(carry: int):
    with pytest.raises(ValueError, match="of a chunk of 8"):
        chunked(8, carry, 4)


def test_other_wrong_settings_are_refused():
    with pytest.raises(ValueError, match="make 8 tokens of a chunk of 8"):
        chunked(8, 4, 4, 4)
    with pytest.raises(ValueError, match="chunks must be at least 1"):
        chunked(8, 4, 0)
    with pytest.raises(ValueError, match="carry must be at least 0"):
        chunked(8, -1, 2)
    with pytest.raises(ValueError, match="head must be at least 0"):
        chunked(8, 1, 2, -1)
    with pytest.raises(ValueError, match="group must be at least 1"):
        Chunked(1, 2, group=0)


def test_a_context_that_is_too_small_ends_the_attempt():
    policy = Native(tiny(context=8, alphabet=ASCII))
    (trace,) = play(chunked(8, 4, 4, 2, processors=(Stream(),)), policy)
    assert trace.stop == "length" and len(trace.rows) == 1 and len(trace.rows[0]) == 8


def test_attempts_of_a_group_differ_and_do_not_depend_on_its_size():
    policy = Native(tiny())
    few, many = (play(replace(chunked(6, 2, 3), group=g), policy, Problem("p", "ab?")) for g in (2, 5))
    tokens = [[row.tokens.tolist() for row in trace.rows] for trace in many]
    assert tokens[:2] == [[row.tokens.tolist() for row in trace.rows] for trace in few]
    assert len({str(t) for t in tokens}) > 1
