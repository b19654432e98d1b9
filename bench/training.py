"""A training step padded, packed and fused, of the same model on the same batch."""

from __future__ import annotations

import asyncio
import copy
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Annotated

import typer

PAGE = Path("docs/decisions/packing.md")
COMMAND = "python -m bench.training"

_HELP = """Training steps of the bench's cases, padded, packed and fused in turn, into docs/decisions/packing.md.

    python -m bench.training
"""


def main(rounds: Annotated[int, typer.Option(min=1, help="Measurements of each kind.")] = 5) -> None:
    import whet

    assert whet  # it bounds OpenMP's spinning, and has to come before torch
    import torch

    from bench.arm import THREADS
    from bench.generation import problems
    from bench.models import model_file
    from bench.table import note
    from bench.whet_arm import stage
    from bench.workload import CASES
    from whet.batching import collate
    from whet.engines.native import Native
    from whet.learners.local import Local
    from whet.machines.profile import Machine
    from whet.models.lm import LM, load
    from whet.models.packing import pack
    from whet.stages.learning import learn
    from whet.types import Batch

    cases = CASES["cpu"]
    torch.set_num_threads(THREADS)

    async def played(lm: LM, name: str) -> Batch:
        rl, models = stage(cases[name]), {"policy": Native(lm, rows=512)}
        groups = await asyncio.gather(*(rl.rollout(models, p, i) for i, p in enumerate(problems(cases[name], 0))))
        scored = await asyncio.gather(*(rl.reward(models, group) for (group,) in groups))
        scored = [replace(s, group=replace(s.group, slot=i)) for i, s in enumerate(scored)]
        return collate(scored, rl.advantage(scored))

    lines = []
    for name in cases:
        lm = load(str(model_file(cases[name])))
        batch, train = asyncio.run(played(lm, name)), stage(cases[name]).train["policy"]
        ways = {way: Local(copy.deepcopy(lm), Machine(), **train.adamw) for way in ("padded", "packed", "fused")}
        ways["padded"].packs = lambda batch: False  # pyright: ignore[reportAttributeAccessIssue]
        ways["padded"].fused = ways["packed"].fused = None
        seconds, losses = defaultdict(list), []
        for step in range(rounds + 1):
            for way, learner in ways.items():
                started = time.perf_counter()
                told = learn(learner, train, batch, step=step, seed=0)
                seconds[way].append(time.perf_counter() - started)
                if step == 0:
                    losses.append(told["loss"])
        if max(losses) - min(losses) > 1e-5:
            raise RuntimeError(f"{name}: the three ways gave the losses {losses}")
        nodes = len(pack(batch.tokens, batch.trained.int().mul(torch.arange(batch.tokens.shape[1])).amax(1)))
        times = (f"{1000 * median(seconds[way][1:]):,.0f}" for way in ways)  # the first of each is warm-up
        lines.append([name, f"{batch.tokens.numel():,}", f"{nodes:,}", *times])
    head = ["case", "places of the rectangle", "nodes", "padded, ms", "packed, ms", "fused, ms"]
    typer.echo(note(PAGE, COMMAND, head, lines, rounds))


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(help=_HELP)(main)
    app()
