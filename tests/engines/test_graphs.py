"""Decode steps on memory that stays where it is. What is captured on a GPU (tests/test_cuda.py) is played here kernel
by kernel."""

import pytest
import torch
from helpers.architectures import model
from helpers.model_small import play, shaken

from whet.engines.cache import Block
from whet.engines.graphs import Replays, replayable
from whet.engines.native import Native
from whet.models.lm import LM
from whet.models.tiny import TinyQwen
from whet.types import Decoding, Trajectory

QWEN = shaken(TinyQwen(context=160))
PROMPTS = ["a", "2+3=", "so " * 12, "the answer<think>", "2+3=", "x" * 30, "b", "a", "17+8=", "c " * 20]
HOT = Decoding(max_tokens=90, temperature=1.6)


def played(lm: LM, rows: int, replays: bool) -> tuple[list[Trajectory], Native]:
    engine = Native(lm, rows=rows, engine="reference")
    engine.replays = Replays(lm, capture=False) if replays else None
    return play(engine, PROMPTS, HOT, seeds=range(20, 20 + len(PROMPTS))), engine


@pytest.mark.parametrize("rows", [1, 3, 10])
@pytest.mark.parametrize("kind", ["tiny", "llama", "gpt2"])
def test_a_step_in_a_fixed_block_gives_what_a_step_in_a_growing_one_gives(kind, rows, tmp_path_factory):
    lm = QWEN if kind == "tiny" else model(kind, tmp_path_factory.getbasetemp() / "graphs")
    ours, engine = played(lm, rows, replays=True)
    for a, b in zip(ours, played(lm, rows, replays=False)[0], strict=True):
        assert a.rows[0].tokens.equal(b.rows[0].tokens)
        torch.testing.assert_close(a.rows[0].logprobs, b.rows[0].logprobs, atol=1e-5, rtol=0)
    assert engine.replays and engine.replays.steps


def test_blocks_come_in_few_sizes_and_are_used_again():
    replays, like = Replays(QWEN), (torch.zeros(2, 3, 5, 4),)
    replays.check()
    none = Block((), 0, 0, 0)
    first = replays.block(like, 9, 5, 40, none)
    assert (first.rows, first.room, first.width) == (16, 128, 5)
    first.tensors[0].fill_(7.0)
    assert replays.suits(first, 16) and not replays.suits(first, 8) and not replays.suits(first, 17)
    second = replays.block(like, 10, 6, 100, first)  # the first is still read from
    assert second is not first and second.rows == 16
    again = replays.block(like, 16, 6, 128, second)
    assert again is first and again.width == 6 and not again.tensors[0].any()
    assert replays.block(like, 3, 200, 129, none).room == 256
    assert len(replays.steps) == 3


def test_no_more_blocks_are_kept_than_may_be():
    replays, like = Replays(QWEN), (torch.zeros(2, 3, 5, 4),)
    replays.check()
    for rows in [8 * 2**k for k in range(10)]:
        replays.block(like, rows, 5, 40, Block((), 0, 0, 0))
    assert [step.block.rows for step in replays.steps] == [8 * 2**k for k in range(2, 10)]


def test_other_weights_in_the_same_place_are_fine_and_weights_in_another_place_are_not():
    lm = shaken(TinyQwen(context=64))
    replays = Replays(lm)
    replays.check()
    replays.block((torch.zeros(2, 3, 5, 4),), 2, 5, 40, Block((), 0, 0, 0))
    lm.put(shaken(TinyQwen(context=64), seed=3).weights())
    replays.check()
    assert replays.steps
    parameter = next(lm.parameters())
    parameter.data = parameter.data.clone()
    replays.check()
    assert not replays.steps


def test_a_cpu_has_no_graphs():
    assert not replayable(QWEN) and Native(QWEN).replays is None
