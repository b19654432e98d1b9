"""What has to hold on a GPU too. Skipped where there is none: `python -m pytest tests/test_cuda.py` where there is."""

from __future__ import annotations

import asyncio
import copy
import gc
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.architectures import KINDS, model
from helpers.gradients import apart, collated, gradients
from helpers.model_small import extend, generated, play, shaken
from helpers.runs import metrics, sums
from helpers.sized import built, shape

from whet.engines.native import Native
from whet.learners.local import Local
from whet.machines.profile import MACHINES, Machine
from whet.models.lm import LM
from whet.models.tiny import TinyQwen
from whet.objectives.clip import Clip
from whet.objectives.likelihood import Likelihood
from whet.rollouts.sample import Sample
from whet.run import Run, Save
from whet.scoring import Weighted
from whet.stages.learning import Train
from whet.stages.rl import RL
from whet.stages.sft import SFT
from whet.types import Decoding, Group, sampled_count

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")

PROMPTS = ["a", "2+3=", "so " * 12, "the answer<think>", "2+3=", "x" * 30, "b", "a", "17+8=", "c " * 20]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture
def lm() -> LM:
    return shaken(TinyQwen(width=64, layers=3, heads=4, context=160)).to("cuda")


@pytest.mark.parametrize("kind", KINDS)
def test_greedy_tokens_are_those_of_the_library(kind: str, place: Path) -> None:
    lm = model(kind, place).to("cuda")
    engine = Native(lm)
    prompts = ["how much is 17+8? it is ", "a b c d e f g h i j", "5"]
    for trajectory in play(engine, prompts, Decoding(max_tokens=20, temperature=0)):
        row = trajectory.rows[0]
        count = sampled_count(trajectory)
        prompt, wrote = row.tokens[:-count], row.tokens[-count:].tolist()
        assert wrote == generated(lm, prompt.to("cuda"), 20)[:count]


@pytest.mark.parametrize("rows", [1, 4, 64])
def test_captured_steps_give_what_steps_kernel_by_kernel_give(lm: LM, rows: int) -> None:
    hot = Decoding(max_tokens=90, temperature=1.6, top_p=0.9)
    captured, plain = Native(lm, rows=rows), Native(lm, rows=rows)
    plain.replays = None
    ours, theirs = (play(engine, PROMPTS * 4, hot, seeds=range(40)) for engine in (captured, plain))
    assert captured.replays is not None and captured.replays.captured
    assert [a.rows[0].tokens.tolist() for a in ours] == [b.rows[0].tokens.tolist() for b in theirs]
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a.rows[0].logprobs, b.rows[0].logprobs, atol=1e-5, rtol=0)


def test_a_graph_is_played_with_the_weights_of_the_moment(lm: LM) -> None:
    engine, greedy = Native(lm), Decoding(max_tokens=20, temperature=0)
    play(engine, PROMPTS, greedy)
    assert engine.replays is not None
    captured = engine.replays.captured
    lm.put(shaken(TinyQwen(width=64, layers=3, heads=4, context=160), seed=5).weights())
    engine.version = 1
    after = play(engine, PROMPTS, greedy)
    assert engine.replays.captured == captured
    fresh = play(Native(lm), PROMPTS, greedy)
    assert [a.rows[0].tokens.tolist() for a in after] == [b.rows[0].tokens.tolist() for b in fresh]


def test_logprobs_of_the_sampler_are_those_of_a_reading_here_and_on_a_cpu(lm: LM) -> None:
    engine = Native(lm)
    rows = [t.rows[0] for t in play(engine, PROMPTS, Decoding(max_tokens=40))]
    here = asyncio.run(engine.score(rows))
    there = asyncio.run(Native(copy.deepcopy(lm).to("cpu")).score(rows))
    for row, a, b in zip(rows, here, there, strict=True):
        torch.testing.assert_close(a["logprobs"][row.sampled], row.logprobs[row.sampled], atol=1e-5, rtol=0)
        torch.testing.assert_close(a["logprobs"], b["logprobs"], atol=1e-5, rtol=0)


def test_a_context_that_goes_on_is_not_read_again(lm: LM) -> None:
    engine = Native(lm)
    first = play(engine, PROMPTS[:4], Decoding(max_tokens=10))
    before = engine.read
    more = extend(engine, [engine.insert(t, " and ") for t in first], Decoding(max_tokens=5))
    added = sum(len(m.rows[0]) - sampled_count(m) for m in more) - sum(len(t.rows[0]) - 10 for t in first)
    assert engine.read - before <= added + 2 * len(first)  # what was inserted, and the last token before it


@pytest.mark.parametrize("kind", KINDS)
def test_packed_gradients_are_those_of_padded_rows_on_a_cpu(kind: str, place: Path) -> None:
    lm = model(kind, place)
    attempts = play(Native(lm), ["how much is 17+8? it is "] * 4 + ["a b c d e f g h i j"] * 2, Decoding(max_tokens=20))
    batch = collated(attempts, 2)
    expected, said = gradients(lm, "padded", batch)
    lm.to("cuda")
    for way in ("padded", "packed"):
        found, logprobs = gradients(lm, way, batch, device="cuda")
        assert apart({k: v.cpu() for k, v in found.items()}, expected) < 2e-5
        assert torch.allclose(logprobs.cpu(), said, atol=1e-5)


def test_bf16_gradients_point_the_same_way(lm: LM) -> None:
    lm.to("cpu")
    batch = collated(play(Native(lm), PROMPTS[:6], Decoding(max_tokens=20)), 3)
    expected, _ = gradients(lm, "packed", batch)
    lm.to("cuda")
    found, _ = gradients(lm, "packed", batch, device="cuda", precision="bf16", checkpointing=True)
    dot = sum(float((found[k].cpu() * expected[k]).double().sum()) for k in expected)
    norms = [math.sqrt(sum(float(g.double().pow(2).sum()) for g in x.values())) for x in (found, expected)]
    assert dot / norms[0] / norms[1] > 0.99


def some(group: Group) -> torch.Tensor:
    return torch.tensor([float(int(t.rows[-1].tokens[-1]) % 7) for t in group.trajectories])


def stages(steps: int) -> list[Any]:
    train = Train(Likelihood(), lr=3e-3)
    rl = Train(Clip(), lr=1e-4, epochs=2)
    return [
        SFT(sums(64), steps=20, problems=16, train=train),
        RL(
            task=sums(64),
            rollout=Sample(group=4, decoding=Decoding(max_tokens=12)),
            reward=Weighted({"some": some}),
            train={"policy": rl},
            problems=8,
            steps=steps,
            save=Save(every=2),
        ),
    ]


def test_the_profile_learns_and_goes_on_where_it_was_killed(tmp_path: Path) -> None:
    class Killed(Run):
        def _write_start(self) -> None:  # the next stage's
            raise KeyboardInterrupt

    machine = MACHINES["cuda"]
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(Killed(tmp_path, 0, {"policy": TinyQwen().build(0)}, stages(4), machine).go())
    asyncio.run(Run(tmp_path, 0, {"policy": TinyQwen().build(0)}, stages(4), machine).go())
    told = metrics(tmp_path)
    losses = [line["loss"] for line in told if line["stage"] == "sft"]
    assert len(losses) == 20 and losses[-1] < 0.7 * losses[0]
    assert [line["stage"] for line in told[20:]] == ["rl"] * 4
    assert all(math.isfinite(line["grad_norm"]) and not line["updates_dropped"] for line in told)


@pytest.mark.parametrize("machine", [Machine(device="cuda"), MACHINES["cuda"]], ids=["fp32", "profile"])
def test_peak_memory_is_predicted(machine: Machine, tmp_path: Path) -> None:
    tokens, problems, group = 500, 4, 8
    lm = built("qwen2", tokens + 16, **shape(512, 12, 8, 16_384))
    expected = Local(copy.deepcopy(lm).to("cuda"), machine, **Train(Clip()).adamw).memory(
        tokens + 4, problems * (group * tokens + 4)
    )
    sample = Sample(group=group, decoding=Decoding(max_tokens=tokens))
    stage = replace(stages(2)[1], rollout=sample, problems=problems)
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    asyncio.run(Run(tmp_path / "run", 0, {"policy": lm}, [stage], machine).go())
    peak, held = torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()
    free, total = torch.cuda.mem_get_info()
    told = f"peak {peak / 2**20:.0f} MiB, reserved {held / 2**20:.0f}, in use {(total - free) / 2**20:.0f}: {expected}"
    print(told)
    assert metrics(tmp_path / "run")[-1]["tokens"] > 1.8 * problems * group * tokens
    assert peak == pytest.approx(expected.total - expected.process, rel=0.25), told
