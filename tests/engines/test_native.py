import asyncio
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from helpers.model_small import extend, generated, play, problems, shaken
from torch import nn
from transformers import Gemma2Config, Gemma2ForCausalLM, GPT2Config, GPT2LMHeadModel, MistralConfig, MistralForCausalLM

from whet import idle
from whet.engines.native import Native
from whet.models.codec import Codec
from whet.models.lm import LM
from whet.models.tiny import TinyLlama, TinyQwen, bpe_tokenizer, character_tokenizer
from whet.types import Decoding, Media, Problem, Trajectory

QWEN = shaken(TinyQwen(context=160))
LLAMA = shaken(TinyLlama(context=160), seed=3)
MIXED = ["a", "2+3=", "so " * 12, "the answer<think>", "2+3=", "x" * 30]
GREEDY = Decoding(max_tokens=25, temperature=0)
HOT = Decoding(max_tokens=25, temperature=1.6)


@pytest.fixture(params=["reference", "fast"])
def native(request: pytest.FixtureRequest) -> Callable[..., Native]:
    """Both tiers."""
    if request.param == "fast" and not any(shutil.which(name) for name in ("c++", "g++", "clang++")):
        pytest.skip("no C++ compiler")
    return partial(Native, engine=request.param)


def other(kind: str) -> LM:
    """Architectures whose caches and positions are unlike: windows, learned positions, capped logits."""
    chars = character_tokenizer()
    sizes: dict[str, Any] = {"vocab_size": len(chars), "pad_token_id": 0, "bos_token_id": None, "eos_token_id": 1}
    wide: dict[str, Any] = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    torch.manual_seed(0)
    if kind == "mistral":
        hf = MistralForCausalLM(MistralConfig(**sizes, **wide, num_key_value_heads=1, sliding_window=8))
    elif kind == "gemma2":
        gemma = Gemma2Config(**sizes, **wide, num_key_value_heads=1, head_dim=16, sliding_window=8)
        hf = Gemma2ForCausalLM(gemma)
    else:
        hf = GPT2LMHeadModel(GPT2Config(**sizes, n_embd=32, n_layer=2, n_head=2, n_positions=128))
    with torch.no_grad():
        for weights in hf.parameters():
            weights.add_(0.1 * torch.randn(weights.shape))
    return LM(hf, Codec(chars))


def full_logprobs(lm: LM, trajectory: Trajectory) -> torch.Tensor:
    """[T - 1] by one forward pass of the whole row."""
    row = trajectory.rows[-1]
    with torch.no_grad():
        logits = lm.hf(input_ids=row.tokens[None]).logits[0, :-1].float() / (row.temperature or 1.0)
    return logits.log_softmax(-1).gather(1, row.tokens[1:, None]).squeeze(1)


def assert_logprobs_are_right(lm: LM, trajectory: Trajectory) -> None:
    row = trajectory.rows[-1]
    full = torch.cat([torch.zeros(1), full_logprobs(lm, trajectory)])
    torch.testing.assert_close(row.logprobs[row.sampled], full[row.sampled], atol=1e-5, rtol=0)
    assert not row.logprobs[~row.sampled].any()


# ---------------------------------------------------------------------------------------- the same as elsewhere


@pytest.mark.parametrize("lm", [QWEN, LLAMA], ids=["qwen", "llama"])
def test_greedy_is_what_transformers_generates_over_prompts_of_any_length(native, lm):
    engine = native(lm)
    for t in play(engine, MIXED, GREEDY):
        prompt = engine.open(t.problem).rows[0].tokens
        assert t.rows[0].tokens[len(prompt) :].tolist() == generated(lm, prompt, 25)
        assert_logprobs_are_right(lm, t)


@pytest.mark.parametrize("kind", ["mistral", "gemma2", "gpt2"])
def test_greedy_is_the_same_with_windows_learned_positions_and_capped_logits(kind):
    lm = other(kind)
    engine = Native(lm)
    for t in play(engine, MIXED, GREEDY):
        prompt = engine.open(t.problem).rows[0].tokens
        assert t.rows[0].tokens[len(prompt) :].tolist() == generated(lm, prompt, 25)
        assert_logprobs_are_right(lm, t)


@pytest.mark.parametrize("lm", [QWEN, LLAMA], ids=["qwen", "llama"])
def test_greedy_turns_go_on_as_transformers_would_from_the_same_tokens(native, lm):
    engine = native(lm)
    chats = [Problem(str(i), [{"role": "user", "content": text}]) for i, text in enumerate(MIXED)]
    first = extend(engine, [engine.open(p) for p in chats], GREEDY)
    asked = [engine.insert(t, "and " * (i % 3) + "now?", role="user") for i, t in enumerate(first)]
    for before, after in zip(asked, extend(engine, asked, GREEDY), strict=True):
        count = len(before.rows[0])
        assert after.rows[0].tokens[:count].equal(before.rows[0].tokens)
        assert after.rows[0].tokens[count:].tolist() == generated(lm, before.rows[0].tokens, 25)
        assert [turn.role for turn in after.turns] == ["prompt", "policy", "user", "policy"]
        assert_logprobs_are_right(lm, after)


@pytest.mark.parametrize("lm", [QWEN, LLAMA], ids=["qwen", "llama"])
def test_off_temperature_samples_have_ratio_1_under_the_same_weights(native, lm):
    engine = native(lm, version=4)
    played = play(engine, MIXED * 3, HOT)
    said = asyncio.run(engine.score([t.rows[0] for t in played]))
    for t, scored in zip(played, said, strict=True):
        row = t.rows[0]
        ratio = (scored["logprobs"] - row.logprobs)[row.sampled].exp()
        torch.testing.assert_close(ratio, torch.ones_like(ratio), atol=1e-4, rtol=0)
        assert row.temperature == 1.6
        assert set(row.versions[row.sampled].tolist()) == {4}
        assert row.trained.equal(row.sampled)


def test_tokens_are_the_same_alone_and_in_company(native):
    together = play(native(QWEN), MIXED, HOT, seeds=range(10, 16))
    few = play(native(QWEN, rows=2), MIXED, HOT, seeds=range(10, 16))
    for i, t in enumerate(together):
        (alone,) = play(native(QWEN), [MIXED[i]], HOT, seeds=[10 + i])
        assert alone.rows[0].tokens.equal(t.rows[0].tokens)
        assert few[i].rows[0].tokens.equal(t.rows[0].tokens)


def test_another_seed_gives_other_tokens_and_the_same_seed_the_same(native):
    a, b, c = play(native(QWEN), ["2+3="] * 3, HOT, seeds=[1, 1, 2])
    assert a.rows[0].tokens.equal(b.rows[0].tokens)
    assert not a.rows[0].tokens.equal(c.rows[0].tokens)


def test_rows_may_be_decoded_in_different_ways_at_once(native):
    engine = native(QWEN)
    ways = [GREEDY, HOT, Decoding(max_tokens=7, top_k=2), Decoding(max_tokens=60, temperature=0)]

    async def everyone():
        opened = [engine.open(p) for p in problems(MIXED[:4])]
        return await asyncio.gather(
            *(engine.extend(t, d, i) for i, (t, d) in enumerate(zip(opened, ways, strict=True)))
        )

    mixed = asyncio.run(everyone())
    assert engine.waves == (0 if engine.fast else 1)
    for i, t in enumerate(mixed):
        (alone,) = play(native(QWEN), [MIXED[i]], ways[i], seeds=[i])
        assert alone.rows[0].tokens.equal(t.rows[0].tokens)


# ------------------------------------------------------------------------------------------------ what is cut off


def test_the_mass_and_the_mask_of_what_was_kept_are_stored(native):
    decoding = Decoding(max_tokens=9, top_k=3, top_p=0.9, store_mask=True)
    engine = native(QWEN)
    (t,) = play(engine, ["2+3="], decoding)
    row = t.rows[0]
    with torch.no_grad():
        logprobs = QWEN.hf(input_ids=row.tokens[None]).logits[0, :-1].log_softmax(-1)
    kept, sampled = t.tracks["kept"], row.sampled
    assert row.truncated
    assert kept.shape == (len(row), QWEN.vocab)
    assert kept[~sampled].all()
    assert not t.tracks["log_kept"][~sampled].any()
    assert (kept[sampled].sum(-1) <= 3).all()
    assert kept[sampled].gather(1, row.tokens[sampled][:, None]).all()
    mass = logprobs.masked_fill(~kept[1:], -torch.inf).logsumexp(-1)[sampled[1:]]
    torch.testing.assert_close(t.tracks["log_kept"][sampled], mass, atol=1e-5, rtol=0)
    assert_logprobs_are_right(QWEN, t)


def test_a_mask_stored_once_is_stored_for_later_turns_and_not_begun_late(native):
    engine = native(QWEN)
    cut, stored = Decoding(max_tokens=4, top_k=2), Decoding(max_tokens=4, top_k=2, store_mask=True)
    (t,) = extend(engine, play(engine, ["ab"], stored), cut)
    assert (t.tracks["kept"].sum(-1)[t.rows[0].sampled] == 2).all()
    with pytest.raises(ValueError, match="store_mask"):
        extend(engine, play(engine, ["ab"], cut), stored)


def test_a_processor_sees_the_row_and_keeps_tokens_away(native):
    digits = torch.tensor(QWEN.codec.tokenizer.encode("0123456789"))

    def digits_that_are_not_the_last(tokens, logits):
        allowed = torch.full_like(logits, -torch.inf)
        allowed[digits] = logits[digits]
        allowed[tokens[-1]] = -torch.inf
        return allowed

    (t,) = play(native(QWEN), ["n: 1"], Decoding(max_tokens=20, processors=(digits_that_are_not_the_last,)))
    text = t.turns[-1].text
    assert text.isdigit()
    assert len(text) == 20
    assert all(a != b for a, b in zip("1" + text, text, strict=False))
    assert t.rows[0].truncated
    assert (t.tracks["log_kept"][t.rows[0].sampled] < 0).all()
    assert_logprobs_are_right(QWEN, t)


# --------------------------------------------------------------------------------------------------------- ends


def test_eos_stays_as_a_sampled_token_and_ends_the_row(native):
    def only_eos(tokens, logits):
        return torch.full_like(logits, -torch.inf).index_fill(0, torch.tensor([1]), 0.0)

    (t,) = play(native(QWEN), ["ab"], Decoding(processors=(only_eos,)))
    assert (t.stop, t.rows[0].tokens[2:].tolist(), t.turns[-1].text) == ("eos", [1], "")
    assert t.rows[0].sampled.tolist() == [False, False, True]


def writing(text: str, lm: LM, start: int):
    """A processor under which the model writes `text` from token `start` on, and then anything."""
    ids = lm.codec.tokenizer.encode(text)

    def processor(tokens, logits):
        done = len(tokens) - start
        if done >= len(ids):
            return logits
        return torch.full_like(logits, -torch.inf).index_fill(0, torch.tensor([ids[done]]), 0.0)

    return processor


def test_a_stop_string_across_tokens_ends_a_turn_that_may_go_on(native):
    engine = native(QWEN)
    write = writing("look</tool> and more", QWEN, 2)
    decoding = Decoding(max_tokens=20, stop=("</tool>", "never"), processors=(write,))
    (t,) = play(engine, ["ab"], decoding)
    assert (t.stop, t.turns[-1].text) == ("stop", "look</tool>")
    (more,) = extend(engine, [engine.insert(t, "[4]")], Decoding(max_tokens=5))
    assert [turn.role for turn in more.turns] == ["prompt", "policy", "env", "policy"]
    assert QWEN.codec.text(more.rows[0].tokens).startswith("ablook</tool>[4]")
    assert_logprobs_are_right(QWEN, more)


def test_stop_strings_and_broken_characters_with_bytes_learned_from_school_problems(native, shared_data, tmp_path):
    with open(shared_data / "gsm8k" / "train.jsonl", encoding="utf-8") as file:
        lines = [json.loads(next(file)) for _ in range(200)]
    bpe_tokenizer((line["question"] + line["answer"] for line in lines), 600).save_pretrained(tmp_path)
    lm = shaken(TinyQwen(layers=1, context=512, tokenizer=str(tmp_path)))
    engine = native(lm)
    opened = engine.open(Problem("p", [{"role": "user", "content": lines[0]["question"]}]))
    start = len(opened.rows[0])
    write = writing("So 12.\n#### 12 and", lm, start)
    (t,) = extend(engine, [opened], Decoding(max_tokens=50, stop=("#### 12",), processors=(write,)))
    assert t.stop == "stop"
    assert t.turns[-1].text == "So 12.\n#### 12"
    smile = writing("a😀!", lm, start)
    (half,) = extend(engine, [opened], Decoding(max_tokens=3, stop=("#### 12",), processors=(smile,)))
    assert half.stop == "length"
    assert half.turns[-1].text.startswith("a\ufffd")
    (whole,) = extend(engine, [half], Decoding(max_tokens=2, processors=(smile,)))
    assert lm.codec.text(whole.rows[0].tokens[start:]).startswith("a😀")
    for row in (t.rows[0], half.rows[0], whole.rows[0]):
        assert row.tokens[:start].equal(opened.rows[0].tokens)


def test_a_stop_token_stays_and_stops(native):
    token = QWEN.codec.tokenizer.encode("e")[0]
    everything_but_eos = Decoding(max_tokens=99, temperature=1.6, stop_tokens=(token,))
    for t in play(native(QWEN), MIXED, everything_but_eos):
        new = t.rows[0].tokens[t.rows[0].sampled].tolist()
        assert (new[-1] == token) == (t.stop == "stop")
        assert token not in new[:-1]


def test_max_tokens_and_a_full_context_stop_by_length(native):
    engine = native(QWEN)
    (t,) = play(engine, ["ab"], Decoding(max_tokens=3, temperature=0))
    assert (t.stop, int(t.rows[0].sampled.sum())) == ("length", 3)
    (full,) = play(engine, ["x" * 158], Decoding(max_tokens=99, temperature=0))
    assert (full.stop, len(full.rows[0])) == ("length", 160)
    (again,) = extend(engine, [replace(full, stop="")], Decoding(max_tokens=9, temperature=0))
    assert again.stop == "length"
    assert again.rows == full.rows
    assert again.turns == full.turns


def test_what_does_not_fit_into_the_context_is_left_out(native):
    engine = native(QWEN)
    t = engine.insert(engine.open(Problem("p", "a" * 100)), "b" * 100)
    assert (t.stop, len(t.rows[0]), t.turns[-1].text) == ("length", 160, "b" * 60)
    media = [Media("image", torch.zeros(1), 50)]
    t = engine.insert(engine.open(Problem("p", "a" * 100)), ["b" * 20, *media])
    assert (t.stop, len(t.rows[0]), t.rows[0].media) == ("length", 120, ())
    with pytest.raises(ValueError, match="context holds 160"):
        engine.reopen(t, [5] * 160)
    (long,) = play(engine, ["ab"], Decoding(max_tokens=40, temperature=0))
    with pytest.raises(ValueError, match="context holds 160"):
        engine.graft(long, engine.open(Problem("q", "a" * 158)))


# ------------------------------------------------------------------------------------------------- rows of a row


def test_a_row_has_one_temperature_and_one_sampler(native):
    engine = native(QWEN)
    (t,) = play(engine, ["ab"], Decoding(max_tokens=4))
    with pytest.raises(ValueError, match="reopen"):
        extend(engine, [t], HOT)
    with pytest.raises(ValueError, match="guide"):
        extend(native(QWEN, name="guide"), [t], Decoding(max_tokens=4))
    (again,) = extend(engine, [engine.reopen(t, t.rows[0].tokens.tolist())], HOT)
    assert [row.temperature for row in again.rows] == [1.0, 1.6]
    assert_logprobs_are_right(QWEN, again)


def test_a_cut_goes_on_as_if_it_had_stopped_there(native):
    engine = native(QWEN)
    (t,) = play(engine, ["2+3="], Decoding(max_tokens=20, temperature=0))
    (again,) = extend(engine, [engine.cut(t, 0, 10)], Decoding(max_tokens=14, temperature=0))
    assert again.rows[0].tokens.equal(t.rows[0].tokens)
    torch.testing.assert_close(again.rows[0].logprobs, t.rows[0].logprobs, atol=1e-5, rtol=0)


def test_a_graft_keeps_the_samplers_log_probs(native):
    engine = native(QWEN)
    hinted = engine.insert(engine.open(Problem("p", "2+3=")), " (it is 5) ")
    (t,) = extend(engine, [hinted], HOT)
    bare = engine.graft(t, engine.open(t.problem))
    assert bare.rows[0].tokens[:4].equal(engine.open(t.problem).rows[0].tokens)
    assert bare.rows[0].logprobs[bare.rows[0].sampled].equal(t.rows[0].logprobs[t.rows[0].sampled])


def test_a_prompt_that_ends_in_a_thought_goes_on_inside_it(native):
    engine = native(QWEN)
    (t,) = play(engine, ["2+3=<think>"], GREEDY)
    assert t.turns[0].text == "2+3=<think>"
    assert t.rows[0].tokens[4] == QWEN.codec.tokenizer.convert_tokens_to_ids("<think>")
    assert not t.rows[0].sampled[:5].any()


# ------------------------------------------------------------------------------------------------------- scoring


def test_scores_are_those_of_each_row_alone():
    engine = Native(shaken(TinyQwen(context=160)))
    lm = engine.lm.add_value_head()
    assert lm.value_head is not None
    nn.init.normal_(lm.value_head.weight, std=0.1)  # values of about 1
    rows = [t.rows[0] for t in play(engine, MIXED, HOT)]
    said = asyncio.run(engine.score(rows, ("logprobs", "entropy", "values", "hidden")))
    for row, scored in zip(rows, said, strict=True):
        with torch.no_grad():
            hidden = lm.hidden(row.tokens[None])[0, :-1]
            logprobs = (lm.logits(hidden) / 1.6).log_softmax(-1)
            values = lm.values(hidden)
        expected = {
            "logprobs": logprobs.gather(1, row.tokens[1:, None]).squeeze(1),
            "entropy": -(logprobs.exp() * logprobs).sum(-1),
            "values": values,
            "hidden": hidden,
        }
        assert set(scored) == set(expected)
        for name, value in expected.items():
            assert len(scored[name]) == len(row)
            assert not scored[name][0].any()
            torch.testing.assert_close(scored[name][1:], value, atol=1e-5, rtol=1e-5)


def test_greedy_rows_are_scored_at_temperature_1():
    engine = Native(QWEN)
    (t,) = play(engine, ["2+3="], GREEDY)
    (scored,) = asyncio.run(engine.score([t.rows[0]]))
    torch.testing.assert_close(scored["logprobs"][1:], full_logprobs(QWEN, t), atol=1e-5, rtol=0)


def test_scores_of_nothing_are_nothing_and_impossible_wishes_are_refused():
    engine = Native(QWEN)
    assert asyncio.run(engine.score([])) == []
    row = engine.open(Problem("p", "ab")).rows[0]
    with pytest.raises(ValueError, match="no value head"):
        asyncio.run(engine.score([row], ["values"]))
    with pytest.raises(ValueError, match="can not give"):
        asyncio.run(engine.score([row], ["logits"]))  # pyright: ignore[reportArgumentType]


def test_media_are_seen_when_sampling_and_when_scoring():
    lm = shaken(TinyQwen(context=160))
    lm.encoders["patch"] = nn.Linear(4, 96)
    engine = Native(lm)
    media = [Media("patch", torch.full((3, 4), float(i)), 3) for i in range(2)]
    opened = [engine.open(Problem(str(i), ["see ", media[i], "?"])) for i in (0, 1, 1)]
    a, b, c = extend(engine, opened, HOT, seeds=[1, 1, 1])
    assert b.rows[0].tokens.equal(c.rows[0].tokens)
    assert not a.rows[0].tokens.equal(b.rows[0].tokens)
    for t, scored in zip((a, b), asyncio.run(engine.score([a.rows[0], b.rows[0]])), strict=True):
        row = t.rows[0]
        torch.testing.assert_close(scored["logprobs"][row.sampled], row.logprobs[row.sampled], atol=1e-5, rtol=0)


# --------------------------------------------------------------------------------------------------------- waves


def test_coroutines_inside_coroutines_share_a_wave():
    engine = Native(QWEN, engine="reference")

    async def one(problem, seed):
        t = await engine.extend(engine.open(problem), Decoding(max_tokens=3), seed)
        return await engine.extend(engine.insert(t, "x"), Decoding(max_tokens=3), seed)

    async def group(problem):
        return await asyncio.gather(*(one(problem, seed) for seed in range(4)))

    async def everyone():
        return await asyncio.gather(*(group(p) for p in problems(MIXED)))

    asyncio.run(everyone())
    assert engine.waves == 2  # one per turn
    asyncio.run(everyone())  # in another event loop
    assert engine.waves == 4


def test_a_wave_waits_for_work_outside():
    engine = Native(QWEN, engine="reference")

    async def slow(problem):
        with idle.outside():
            await asyncio.sleep(0.05)
        return await engine.extend(engine.open(problem), Decoding(max_tokens=3), 1)

    async def everyone():
        first, second = problems(["a", "b"])
        await asyncio.gather(engine.extend(engine.open(first), Decoding(max_tokens=3), 0), slow(second))

    asyncio.run(everyone())
    assert engine.waves == 1


def test_a_row_that_has_ended_is_there_while_others_go_on():
    engine = Native(QWEN, engine="reference")
    order = []

    async def one(problem, count):
        await engine.extend(engine.open(problem), Decoding(max_tokens=count, temperature=0), 0)
        order.append((count, engine.waves))

    async def everyone():
        await asyncio.gather(*(one(p, n) for p, n in zip(problems("abc"), (20, 2, 9), strict=True)))

    asyncio.run(everyone())
    assert order == [(2, 1), (9, 1), (20, 1)]


def test_an_error_reaches_everyone_who_waits_and_the_engine_goes_on():
    engine = Native(QWEN, engine="reference")

    def broken(tokens, logits):
        raise RuntimeError("out of order")

    async def everyone():
        opened = [engine.open(p) for p in problems(["a", "b"])]
        ways = [Decoding(processors=(broken,)), Decoding()]
        calls = (engine.extend(t, d, 0) for t, d in zip(opened, ways, strict=True))
        return await asyncio.gather(*calls, return_exceptions=True)

    assert [str(error) for error in asyncio.run(everyone())] == ["out of order"] * 2
    assert len(play(engine, ["a"], Decoding(max_tokens=3))) == 1


def test_score_and_extend_may_wait_together():
    engine = Native(QWEN)
    row = engine.open(Problem("p", "2+3=5")).rows[0]

    async def everyone():
        opened = engine.open(Problem("q", "a"))
        return await asyncio.gather(engine.score([row]), engine.extend(opened, GREEDY, 0), engine.score([row, row]))

    one, _, two = asyncio.run(everyone())
    torch.testing.assert_close(one[0]["logprobs"], two[1]["logprobs"], atol=1e-6, rtol=0)


def test_sampling_leaves_gradients_on_for_others():
    engine = Native(QWEN)
    seen = []

    async def watch():
        for _ in range(200):
            seen.append(torch.is_grad_enabled())
            await asyncio.sleep(0)

    async def everyone():
        opened = engine.open(Problem("p", "a"))
        await asyncio.gather(watch(), engine.extend(opened, Decoding(max_tokens=60, temperature=1.6), 0))

    asyncio.run(everyone())
    assert all(seen)


def test_an_engine_without_room_is_refused():
    with pytest.raises(ValueError, match="rows"):
        Native(QWEN, rows=0)
