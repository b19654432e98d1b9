"""Generation alone: Whet's engine tiers and `generate` of transformers, on the same prompts in the same order."""

from __future__ import annotations

import asyncio
import itertools
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from bench.arm import Worker
from bench.workload import GROUP, PROBLEMS, Case
from whet.engines.native import Native
from whet.models.lm import load
from whet.randomness import stream
from whet.rollouts.sample import Sample
from whet.types import Decoding, Problem, sampled_count, tokens_in

KERNELS = "reference, no graphs"  # a tier that is launched kernel by kernel, on a GPU
_LAW = 4  # steps that show how long completions are


def tiers(case: Case) -> list[str]:
    """The engine's ways to play a case: its tiers on a CPU; on a GPU the reference tier with and without graphs."""
    return ["reference", "fast"] if case.device == "cpu" else ["reference", KERNELS]


def problems(case: Case, step: int, count: int = PROBLEMS) -> list[Problem]:
    return [case.task.problem("train", step * count + i) for i in range(count)]


def whet(pipe: Connection, case: Case, folder: Path, tier: str) -> None:
    """Tells, beside, (length of the prompt, lengths of the completions) of every problem of the first steps."""
    engine = Native(load(str(folder)).to(case.device), rows=512, engine="fast" if tier == "fast" else "reference")
    if tier == KERNELS:
        engine.replays = None
    sample = Sample(GROUP, Decoding(max_tokens=case.longest))
    worker = Worker(pipe)

    async def played(step: int) -> list[tuple[int, list[int]]]:
        engine.version = step  # as in a run, nothing that was read for earlier weights is good any more
        asked = problems(case, step)
        groups_P = await asyncio.gather(
            *(sample({"policy": engine}, p, stream(0, "bench", step, i)) for i, p in enumerate(asked))
        )
        attempts_P = [group.trajectories for groups in groups_P for group in groups]
        return [(tokens_in(ts[0]) - sampled_count(ts[0]), [sampled_count(t) for t in ts]) for ts in attempts_P]

    async def steps() -> None:
        worker.begin([group for step in range(_LAW) for group in await played(step)])
        for step in itertools.count():
            started = time.perf_counter()
            groups = await played(step)
            worker.done(sum(sum(lengths) for _, lengths in groups), time.perf_counter() - started)

    asyncio.run(steps())


def transformers(pipe: Connection, case: Case, folder: Path) -> None:
    """As TRL calls it: left-padded, all attempts in one batch, with its dynamic cache (a static one is no faster)."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig
    from transformers.utils import logging

    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    logging.disable_progress_bar()
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model.eval().to(case.device)
    eos = tokenizer.eos_token_id
    config = GenerationConfig(
        max_new_tokens=case.longest, do_sample=True, temperature=1.0, top_p=1.0, top_k=0,
        eos_token_id=eos, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    worker = Worker(pipe)
    worker.begin(None)
    for step in itertools.count():
        started = time.perf_counter()
        messages = [p.prompt for p in problems(case, step) for _ in range(GROUP)]
        inputs = tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True
        ).to(case.device)
        with torch.no_grad():
            out = model.generate(**inputs, generation_config=config)[:, inputs["input_ids"].shape[1] :]
        ended = (out == eos).int().cumsum(1)
        tokens = int(((ended - (out == eos).int()) == 0).sum())
        worker.done(tokens, time.perf_counter() - started)
