"""The fast tier: right, the same to the bit in any company, and never in the way."""

import asyncio
import gc
import multiprocessing
import os
import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.model_small import extend, generated, play, problems, shaken
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from whet import building, idle
from whet.engines.fast import _SOURCE, Fast
from whet.engines.native import Native
from whet.engines.sampling import choose
from whet.machines.profile import Machine
from whet.models.codec import Codec
from whet.models.family import refusal
from whet.models.lm import LM
from whet.models.tiny import TinyQwen, character_tokenizer
from whet.randomness import uniforms
from whet.run import Run
from whet.types import Decoding, Problem, Trajectory

pytestmark = pytest.mark.skipif(
    not any(shutil.which(name) for name in ("c++", "g++", "clang++")), reason="no C++ compiler"
)

QWEN = shaken(TinyQwen(context=160))
WIDE = shaken(TinyQwen(width=128, layers=2, inter=512, context=128), by=0.05)
PROMPTS = ["a", "2+3=", "so " * 12, "the answer<think>", "2+3=", "x" * 30, "x" * 16, "x" * 17]
GREEDY = Decoding(max_tokens=25, temperature=0)
HOT = Decoding(max_tokens=25, temperature=1.6)


def fast(lm: LM = QWEN, rows: int = 256, **more: Any) -> Native:
    return Native(lm, rows=rows, engine="fast", **more)


def inside(engine: Native) -> Fast:
    assert engine.fast is not None
    return engine.fast


def other(config: Any, model: Any, **more: Any) -> LM:
    """Shapes at whose edges a register or a panel is not full."""
    chars = character_tokenizer()
    torch.manual_seed(0)
    hf = model(
        config(
            vocab_size=len(chars),
            hidden_size=36,
            intermediate_size=52,
            num_hidden_layers=2,
            num_attention_heads=6,
            pad_token_id=0,
            bos_token_id=None,
            eos_token_id=1,
            max_position_embeddings=128,
            **more,
        )
    )
    with torch.no_grad():
        for weights in hf.parameters():
            weights.add_(0.1 * torch.randn(weights.shape))
    return LM(hf, Codec(chars))


KINDS: dict[str, Any] = {
    "qwen2": (Qwen2Config, Qwen2ForCausalLM, {"num_key_value_heads": 2}),
    "qwen2, tied": (Qwen2Config, Qwen2ForCausalLM, {"num_key_value_heads": 6, "tie_word_embeddings": True}),
    "llama": (LlamaConfig, LlamaForCausalLM, {"num_key_value_heads": 1}),
    "llama, tied": (LlamaConfig, LlamaForCausalLM, {"num_key_value_heads": 3, "tie_word_embeddings": True}),
    "llama, biases and head size": (
        LlamaConfig,
        LlamaForCausalLM,
        {"num_key_value_heads": 2, "attention_bias": True, "mlp_bias": True, "head_dim": 10},
    ),
    "llama 3's rope": (
        LlamaConfig,
        LlamaForCausalLM,
        {
            "num_key_value_heads": 2,
            "rope_parameters": {
                "rope_type": "llama3",
                "rope_theta": 10000.0,
                "factor": 4.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 32,
            },
        },
    ),
    "mistral": (MistralConfig, MistralForCausalLM, {"num_key_value_heads": 2, "sliding_window": None}),
    "qwen3": (Qwen3Config, Qwen3ForCausalLM, {"num_key_value_heads": 2, "head_dim": 16}),
}


def assert_logprobs_are_right(lm: LM, t: Trajectory) -> None:
    row = t.rows[-1]
    with torch.no_grad():
        logits = lm.hf(input_ids=row.tokens[None]).logits[0, :-1].float() / (row.temperature or 1.0)
    full = logits.log_softmax(-1).gather(1, row.tokens[1:, None]).squeeze(1)
    torch.testing.assert_close(row.logprobs[1:][row.sampled[1:]], full[row.sampled[1:]], atol=1e-5, rtol=0)


def assert_same(a: Trajectory, b: Trajectory) -> None:
    """To the bit."""
    for x, y in zip(a.rows, b.rows, strict=True):
        assert x.tokens.equal(y.tokens)
        assert x.logprobs.equal(y.logprobs)
    assert a.stop == b.stop
    assert a.tracks.keys() == b.tracks.keys()
    assert all(a.tracks[name].equal(b.tracks[name]) for name in a.tracks)


# ---------------------------------------------------------------------------------------------- the same as elsewhere


@pytest.mark.parametrize("kind", KINDS)
def test_greedy_is_what_transformers_generates(kind):
    config, model, more = KINDS[kind]
    lm = other(config, model, **more)
    engine = fast(lm)
    for t in play(engine, PROMPTS, GREEDY):
        prompt = engine.open(t.problem).rows[0].tokens
        assert t.rows[0].tokens[len(prompt) :].tolist() == generated(lm, prompt, 25)
        assert_logprobs_are_right(lm, t)


WAYS = {
    "hot": HOT,
    "plain": Decoding(max_tokens=60),
    "top-k": Decoding(max_tokens=25, top_k=5),
    "top-p": Decoding(max_tokens=25, top_p=0.9, temperature=0.7),
    "min-p": Decoding(max_tokens=25, min_p=0.1),
    "all cuts": Decoding(max_tokens=25, top_k=9, top_p=0.8, min_p=0.05, temperature=1.3),
    "greedy and cut": Decoding(max_tokens=25, top_k=2, temperature=0),
    "stop strings": Decoding(max_tokens=60, stop=("a", "xy", "q ")),
    "stop strings that end in a space": Decoding(max_tokens=60, stop=("a ",)),
    "stop tokens": Decoding(max_tokens=60, stop_tokens=(20, 21, 22)),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_reference_tier_samples_the_same_from_the_same_seeds(way):
    """To the last token here; a draw within 1e-6 of a boundary could fall to the other side."""
    ours, theirs = fast(), Native(QWEN, engine="reference")
    for a, b in zip(play(ours, PROMPTS * 3, WAYS[way]), play(theirs, PROMPTS * 3, WAYS[way]), strict=True):
        assert a.rows[0].tokens.equal(b.rows[0].tokens)
        assert (a.stop, a.turns, a.tracks.keys()) == (b.stop, b.turns, b.tracks.keys())
        for name in ("sampled", "trained", "versions"):
            assert getattr(a.rows[0], name).equal(getattr(b.rows[0], name))
        for name in ("model", "temperature", "truncated"):
            assert getattr(a.rows[0], name) == getattr(b.rows[0], name)
        torch.testing.assert_close(a.rows[0].logprobs, b.rows[0].logprobs, atol=1e-5, rtol=0)
        for name in a.tracks:
            torch.testing.assert_close(a.tracks[name], b.tracks[name], atol=1e-5, rtol=0)
        assert_logprobs_are_right(QWEN, a)


@pytest.mark.parametrize("seed", [0, 1, 2**63 - 1, 2**64 + 5])
def test_a_rows_draws_are_those_of_every_engine(seed):
    ours = np.empty(103)
    inside(fast()).lib.whet_uniforms(seed % 2**64, seed >> 64, 103, ours.ctypes.data)
    assert ours.tolist() == uniforms(seed, 103).tolist()


FLAT = shaken(TinyQwen(width=32, layers=1, heads=2, kv_heads=1, context=16), by=0)


@settings(max_examples=30)
@given(
    st.integers(0, 2**40),
    st.sampled_from([0.0, 0.5, 1.0]),
    st.integers(0, 12),
    st.floats(0.05, 1),
    st.floats(0, 0.9),
)
def test_what_is_cut_off_is_what_choose_cuts_off(seed, temperature, top_k, top_p, min_p):
    decoding = Decoding(max_tokens=1, temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)
    (t,) = play(fast(FLAT), ["ab"], decoding, seeds=[seed])
    with torch.no_grad():
        logits = FLAT.hf(input_ids=t.rows[0].tokens[None, :2]).logits[0, -1:]
    chosen = choose(logits, decoding, torch.from_numpy(uniforms(seed, 1)))
    assert t.rows[0].tokens[2:].equal(chosen.tokens)
    torch.testing.assert_close(t.rows[0].logprobs[2:], chosen.logprobs, atol=1e-5, rtol=0)
    if decoding.truncates:
        torch.testing.assert_close(t.tracks["log_kept"][2:], chosen.log_kept, atol=1e-5, rtol=0)


# ---------------------------------------------------------------------------------------------------- bits in company


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("lm", [QWEN, WIDE], ids=["96 wide", "128 wide"])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_row_is_the_same_to_the_bit_whoever_shares_its_batch(lm, count, threads):
    prompts = [PROMPTS[i % len(PROMPTS)] + "y" * (i % 3) for i in range(40)]
    ways = [Decoding(max_tokens=5 + i % 20, temperature=1.6, top_k=30 * (i % 2)) for i in range(40)]
    alone = [play(fast(lm), [prompts[i]], ways[i], [i])[0] for i in range(40)]
    threads(count)

    async def everyone(engine: Native, order: list[int], stagger: bool) -> dict[int, Trajectory]:
        async def one(place: int, i: int) -> Trajectory:
            if stagger:
                with idle.outside():
                    await asyncio.sleep(0.0007 * (place % 11))
            return await engine.extend(engine.open(Problem(str(i), prompts[i])), ways[i], i)

        done = await asyncio.gather(*(one(place, i) for place, i in enumerate(order)))
        return dict(zip(order, done, strict=True))

    for rows, order, stagger in (
        (128, list(range(40)), False),
        (128, list(range(39, -1, -1)), True),
        (1, list(range(0, 40, 3)), False),
        (3, list(range(40)), True),
        (7, [*range(20, 40), *range(20)], False),
    ):
        engine = fast(lm, rows)
        for _ in range(2):  # the second time, all contexts are known
            played = asyncio.run(everyone(engine, order, stagger))
            for i, t in played.items():
                assert_same(t, alone[i])


def test_memory_that_is_short_costs_time_and_changes_nothing():
    tight, ample = fast(memory=0), fast()
    for i in (0, 1, 2, 3, 0):
        prompts = [f"{i} {prompt}" for prompt in PROMPTS]
        for a, b in zip(play(tight, prompts, HOT), play(ample, prompts, HOT), strict=True):
            assert_same(a, b)
    assert inside(tight).held < inside(ample).held
    assert tight.read > ample.read


# ---------------------------------------------------------------------------------------------------------- the past


def test_a_prompt_is_read_once_for_its_group():
    engine = fast()
    (one,) = play(engine, ["2+3=" * 9], HOT)
    assert engine.read == 35  # the last token is read when the first is chosen
    play(engine, ["2+3=" * 9] * 8, HOT)
    assert engine.read == 35
    again = fast()
    assert_same(play(again, ["2+3=" * 9] * 8, HOT)[0], one)
    assert again.read == 35


def turns(engine: Native, count: int) -> list[Trajectory]:
    played = [engine.open(p) for p in problems(["a", "2+3=", "so " * 7])]
    for turn in range(count):
        played = [engine.insert(t, "and " * (i + 1)) if turn else t for i, t in enumerate(played)]
        played = extend(engine, played, replace(HOT, max_tokens=9), seeds=range(10 * turn, 10 * turn + 3))
    return played


def test_turns_read_only_what_is_new():
    engine = fast()
    played = turns(engine, 4)
    given = sum(int((~t.rows[0].sampled).sum()) for t in played)
    assert engine.read == given - 3  # once; what comes last is read as the first token of a turn is chosen
    for t in played:
        assert_logprobs_are_right(QWEN, t)


def test_a_past_that_is_known_gives_the_bits_of_one_that_is_read():
    warm = fast()
    for t in turns(warm, 2):
        cut = warm.cut(t, 0, len(t.rows[0]) - 7)
        grafted = warm.graft(t, warm.open(Problem("q", "and so on, ")))
        forks = [warm.insert(t, "x"), warm.insert(t, "xy"), warm.insert(warm.cut(t, 0, 3), "z")]
        for start in (cut, grafted, *forks):
            for seed in (1, 2):
                (a,) = extend(warm, [start], HOT, [seed])
                (b,) = extend(fast(), [start], HOT, [seed])
                assert_same(a, b)


def test_a_fork_reads_nothing():
    engine = fast()
    played = play(engine, ["2+3="] * 40, replace(HOT, max_tokens=60))
    t = max(played, key=lambda t: len(t.rows[0]))
    assert len(t.rows[0]) > 40
    before = engine.read
    extend(engine, [engine.cut(t, 0, stop) for stop in (5, 16, 17, 20, 33, 40)], HOT)
    assert engine.read == before


def test_new_weights_are_seen_and_what_was_known_is_forgotten():
    lm = shaken(TinyQwen(context=160))
    engine = fast(lm)
    (before,) = play(engine, ["2+3=" * 9], HOT)
    with torch.no_grad():
        for weights in lm.hf.parameters():
            weights.mul_(0.9)
    (after,) = play(engine, ["2+3=" * 9], HOT)
    assert engine.read == 70
    assert not after.rows[0].logprobs.equal(before.rows[0].logprobs)
    assert_logprobs_are_right(lm, after)
    assert_same(after, play(fast(lm), ["2+3=" * 9], HOT)[0])


def test_weights_that_change_while_rows_are_in_flight_are_an_error():
    lm = shaken(TinyQwen(context=160))
    engine = fast(lm)

    async def everyone() -> None:
        first = asyncio.create_task(engine.extend(engine.open(Problem("p", "ab")), Decoding(max_tokens=150), 1))
        while not inside(engine).flying:
            await asyncio.sleep(0)
        with torch.no_grad():
            lm.hf.model.norm.weight.mul_(0.5)
        with pytest.raises(RuntimeError, match="weights were changed"):
            await engine.extend(engine.open(Problem("q", "a")), HOT, 0)
        await first

    asyncio.run(everyone())


# ---------------------------------------------------------------------------------------------------- rows come and go


def test_a_row_that_has_ended_goes_on_while_others_are_decoded():
    engine = fast()
    order = []
    never = tuple(f"{c}~{c}~{c}" for c in map(chr, range(32, 127)))  # asked about at every token: no row runs ahead

    async def one(problem: Problem, count: int, turns: int) -> None:
        t = engine.open(problem)
        for seed in range(turns):
            t = await engine.extend(t, Decoding(max_tokens=count, temperature=0, stop=never), seed)
            order.append(count)

    async def everyone() -> None:
        await asyncio.gather(one(Problem("a", "a"), 155, 1), one(Problem("b", "b"), 2, 4))

    asyncio.run(everyone())
    assert order[:2] == [2, 2]  # the second began when the first had ended, and was done before the long one
    assert sorted(order) == [2, 2, 2, 2, 155]
    assert engine.waves == 0


def test_scores_wait_for_rows_in_flight():
    engine = fast()
    row = engine.open(Problem("p", "2+3=5")).rows[0]
    order = []

    async def scores() -> None:
        await engine.score([row])
        order.append("scores")

    async def rows() -> None:
        await engine.extend(engine.open(Problem("q", "a")), Decoding(max_tokens=100, temperature=1.6), 0)
        order.append("rows")

    async def everyone() -> None:
        await asyncio.gather(scores(), rows())

    asyncio.run(everyone())
    assert order == ["rows", "scores"]


def test_rows_that_nobody_waits_for_any_more_leave_nothing_behind():
    engine = fast(rows=3)

    async def everyone() -> list[Any]:
        opened = [engine.open(p) for p in problems(["long " * 25, *PROMPTS])]
        tasks = [asyncio.create_task(engine.extend(t, Decoding(max_tokens=150), i)) for i, t in enumerate(opened)]
        while not inside(engine).flying:
            await asyncio.sleep(0)
        time.sleep(0.002)  # rows are decoded and some end, and the event loop has heard of none
        for task in tasks[:-1]:
            task.cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    *cancelled, last = asyncio.run(everyone())
    assert all(isinstance(error, asyncio.CancelledError) for error in cancelled)
    assert_same(last, play(fast(), [PROMPTS[-1]], Decoding(max_tokens=150), [len(PROMPTS)])[0])
    assert not inside(engine).flying
    for a, b in zip(play(engine, PROMPTS, HOT), play(fast(), PROMPTS, HOT), strict=True):
        assert_same(a, b)
    assert inside(engine).in_flight == 0


def test_an_event_loop_that_is_gone_leaves_nobody_waiting():
    engine = fast()
    loop = asyncio.new_event_loop()
    task = loop.create_task(engine.extend(engine.open(Problem("p", "ab")), Decoding(max_tokens=150), 1))
    for _ in range(3):
        loop.run_until_complete(asyncio.sleep(0))
    assert not task.done()
    loop.close()
    assert_same(play(engine, ["a"], HOT)[0], play(fast(), ["a"], HOT)[0])
    assert inside(engine).in_flight == 0
    task._log_destroy_pending = False  # pyright: ignore[reportAttributeAccessIssue]


def test_what_the_fast_tier_does_not_do_the_reference_tier_does_beside_it():
    engine = fast()

    def anything(tokens, logits):
        return logits

    async def everyone() -> list[Trajectory]:
        ways = [HOT, replace(HOT, processors=(anything,)), replace(HOT, top_k=3, store_mask=True), GREEDY]
        opened = engine.open(Problem("p", "2+3="))
        return await asyncio.gather(*(engine.extend(opened, way, 5) for way in ways))

    plain, processed, masked, greedy = asyncio.run(everyone())
    assert plain.rows[0].tokens.equal(processed.rows[0].tokens)
    assert "kept" in masked.tracks
    assert engine.waves == 1
    assert_same(greedy, play(fast(), ["2+3="], GREEDY)[0])


def test_a_model_that_has_diverged_says_so_to_those_who_wait():
    lm = shaken(TinyQwen(context=160))
    engine = fast(lm)
    with torch.no_grad():
        lm.hf.model.layers[1].mlp.up_proj.weight[3, 4] = torch.nan
    for decoding in (HOT, GREEDY, Decoding(top_k=3)):
        with pytest.raises(ValueError, match="logits that are not numbers"):
            play(engine, ["2+3="], decoding)
    with torch.no_grad():
        lm.hf.model.layers[1].mlp.up_proj.weight[3, 4] = 0.0
    assert len(play(engine, ["2+3="], HOT)) == 1
    assert inside(engine).in_flight == 0


def test_a_token_outside_of_the_vocabulary_is_refused():
    engine = fast()
    t = engine.reopen(engine.open(Problem("p", "a")), [3, QWEN.vocab])
    with pytest.raises(IndexError, match="outside of the vocabulary"):
        extend(engine, [t], HOT)


def tasks() -> int:
    return len(os.listdir("/proc/self/task")) if Path("/proc/self/task").exists() else threading.active_count()


def test_threads_and_handles_end_with_the_engine():
    play(fast(), ["ab"], HOT)  # what is made once is made
    gc.collect()
    before, handles = tasks(), len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    engines = [fast() for _ in range(3)]
    assert tasks() == before  # they start with the first row
    assert all(play(engine, ["ab"], HOT) for engine in engines)
    assert tasks() >= before + 3
    del engines
    gc.collect()
    assert tasks() == before
    if handles:
        assert len(os.listdir("/proc/self/fd")) == handles


def _in_a_fork(engine: Native, out: Any) -> None:
    out.put(play(engine, ["ab"], HOT)[0].rows[0].tokens.tolist())


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_process_that_was_forked_gets_threads_of_its_own():
    engine = fast()
    (t,) = play(engine, ["ab"], HOT)
    context = multiprocessing.get_context("fork")
    out = context.Queue()
    child = context.Process(target=_in_a_fork, args=(engine, out))
    child.start()
    assert out.get(timeout=60) == t.rows[0].tokens.tolist()
    child.join(60)
    assert child.exitcode == 0
    assert_same(play(engine, ["ab"], HOT)[0], t)


def test_small_numbers_stay_what_they_are_when_the_library_is_loaded():
    play(fast(), ["ab"], HOT)
    tiny = np.float32(1e-40)
    assert tiny * np.float32(0.5) > 0
    assert float(torch.tensor(1e-40) * 0.5) > 0


# -------------------------------------------------------------------------------------------------------- which engine


def test_the_library_is_made_anew_for_another_source_compiler_flags_or_processor():
    keys = [
        building.key(b"int x;", "g++ 12", ("-O3",), "zen"),
        building.key(b"int y;", "g++ 12", ("-O3",), "zen"),
        building.key(b"int x;", "g++ 13", ("-O3",), "zen"),
        building.key(b"int x;", "g++ 12", ("-O2",), "zen"),
        building.key(b"int x;", "g++ 12", ("-O3",), "ice lake"),
    ]
    assert len(set(keys)) == 5
    assert keys[0] == building.key(b"int x;", "g++ 12", ("-O3",), "zen")


def test_a_library_is_built_once_into_the_users_cache(tmp_path, monkeypatch):
    monkeypatch.delenv("WHET_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    source = tmp_path / "two.cpp"
    source.write_text('extern "C" __attribute__((visibility("default"))) int two() { return 2; }\n')
    path = building.built(source)
    assert path.is_relative_to(tmp_path / "cache" / "whet")
    made = path.stat().st_mtime_ns
    assert building.library(source).two() == 2
    assert building.built(source).stat().st_mtime_ns == made
    source.write_text(source.read_text().replace("2;", "3;"))
    assert building.built(source) != path
    assert len(list(path.parent.iterdir())) == 2


def test_a_source_that_can_not_be_built_says_why(tmp_path, monkeypatch):
    monkeypatch.delenv("WHET_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    source = tmp_path / "wrong.cpp"
    source.write_text("int x = y;\n")
    with pytest.raises(building.CannotBuild, match=r"y.* was not declared|undeclared identifier"):
        building.library(source)


class Told:
    """A screen that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def begin(self, title: str, steps: int, done: int) -> None: ...
    def advance(self, done: int, metrics: Any) -> None: ...
    def end(self) -> None: ...

    def alert(self, text: str) -> None: ...

    def warn(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture
def no_compiler(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    building.library.cache_clear()
    yield
    building.library.cache_clear()


def test_without_a_compiler_the_reference_tier_plays_and_one_line_says_so(tmp_path, no_compiler):
    engine = Native(QWEN)
    assert engine.fast is None
    assert "no C++ compiler" in engine.notice
    assert len(play(engine, ["ab"], HOT)) == 1
    assert engine.waves == 1
    with pytest.raises(ValueError, match=r"engine='fast' is not possible.*no C\+\+ compiler"):
        fast()
    screen = Told()
    for number in range(2):
        run = Run(folder=tmp_path / str(number), seed=0, lms={"policy": QWEN, "other": QWEN}, stages=[_Nothing()])
        run.screen = screen
        run._begin(run.stages[0], None)
        run.models()
    assert screen.lines == [engine.notice]


class _Nothing:
    def check(self, run: Run) -> None: ...
    def trains(self) -> tuple[str, ...]:
        return ()

    async def __call__(self, run: Run) -> None: ...


REFUSED: dict[str, Any] = {
    "sliding windows": (MistralConfig, MistralForCausalLM, {"num_key_value_heads": 2, "sliding_window": 8}),
    "rotary": (
        LlamaConfig,
        LlamaForCausalLM,
        {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0}},
    ),
    "activation": (Qwen2Config, Qwen2ForCausalLM, {"hidden_act": "gelu", "num_key_value_heads": 2}),
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_the_fast_tier_does_not_compute_is_refused(why):
    config, model, more = REFUSED[why]
    lm = other(config, model, **more)
    assert why in refusal(lm)
    engine = Native(lm)
    assert engine.fast is None
    assert why in engine.notice
    with pytest.raises(ValueError, match="not possible"):
        fast(lm)


def test_half_precision_is_refused():
    lm = shaken(TinyQwen(width=32, layers=1, context=32))
    lm.hf.to(torch.bfloat16)
    assert refusal(lm) == "the weights are not fp32"


def test_the_reference_tier_on_request_says_nothing():
    engine = Native(QWEN, engine="reference")
    assert (engine.fast, engine.notice) == (None, "")
    assert (Native(QWEN).fast is not None, Native(QWEN).notice) == (True, "")
    with pytest.raises(ValueError, match=r"Machine\.engine must be"):
        Machine(engine="faster")  # pyright: ignore[reportArgumentType]
    assert _SOURCE.exists()
