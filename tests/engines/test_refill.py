"""More requests than there is room for: whoever waits takes the place of a row that has ended."""

import asyncio

import pytest
import torch
from helpers.architectures import model
from helpers.model_small import play, shaken

from whet.engines.decode import Growing, Wave
from whet.engines.native import Native
from whet.engines.reading import Reader
from whet.models.lm import LM
from whet.models.tiny import TinyQwen
from whet.types import Decoding, Problem, Trajectory

QWEN = shaken(TinyQwen(context=160))
PROMPTS = ["a", "2+3=", "so " * 12, "the answer<think>", "2+3=", "x" * 30, "b", "a", "17+8=", "c " * 20]
HOT = Decoding(max_tokens=90, temperature=1.6)


def played(lm: LM, rows: int, decoding: Decoding = HOT) -> list[Trajectory]:
    engine = Native(lm, rows=rows, engine="reference")
    out = play(engine, PROMPTS, decoding, seeds=range(20, 20 + len(PROMPTS)))
    assert engine.waves == 1
    return out


@pytest.mark.parametrize("rows", [1, 3, 7])
def test_few_places_give_what_a_place_for_each_gives(rows):
    for few, each in zip(played(QWEN, rows), played(QWEN, 10), strict=True):
        assert few.rows[0].tokens.equal(each.rows[0].tokens)
        torch.testing.assert_close(few.rows[0].logprobs, each.rows[0].logprobs, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["gemma3", "gpt2"])
def test_few_places_do_with_windows_and_learned_positions(kind, tmp_path_factory):
    lm = model(kind, tmp_path_factory.getbasetemp() / "refill")
    for few, each in zip(played(lm, 3), played(lm, 10), strict=True):
        assert few.rows[0].tokens.equal(each.rows[0].tokens)
        torch.testing.assert_close(few.rows[0].logprobs, each.rows[0].logprobs, atol=1e-5, rtol=0)


def test_a_place_is_taken_as_soon_as_it_is_free_and_never_before():
    engine = Native(QWEN, engine="reference")
    opened = [engine.open(Problem(str(i), "2+3=")).rows[0] for i in range(8)]
    rows = [
        Growing(row, Decoding(temperature=0), i, room)
        for i, (row, room) in enumerate(zip(opened, [20, *[5] * 7], strict=True))
    ]
    wave = Wave(Reader(QWEN, 2**20), rows, 2)
    ended = {}
    while wave.alive:
        assert len(wave.batch) <= 2
        for row in wave.step():
            ended[row.seed] = wave.steps
    # One place for 20 tokens; through the other go four rows of 5 meanwhile; then two and two have a place each.
    assert ended == {0: 20, 1: 5, 2: 10, 3: 15, 4: 20, 5: 25, 6: 25, 7: 30}


def test_results_are_the_same_in_every_run():
    first, again = played(QWEN, 3), played(QWEN, 3)
    assert all(a.rows[0].logprobs.equal(b.rows[0].logprobs) for a, b in zip(first, again, strict=True))


def test_what_arrives_during_a_wave_waits_for_the_next():
    engine = Native(QWEN, rows=2, engine="reference")

    async def one(seed: int) -> None:
        t = await engine.extend(engine.open(Problem(str(seed), "2+3=")), Decoding(max_tokens=3 + seed), seed)
        await engine.extend(engine.insert(t, "x"), Decoding(max_tokens=3), seed)

    async def everyone() -> None:
        await asyncio.gather(*(one(seed) for seed in range(5)))

    asyncio.run(everyone())
    assert engine.waves == 2
