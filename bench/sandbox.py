"""What a run in the sandbox costs, and ten thousand verifications under load: none lost, none miscounted, nothing left.

python -m bench.sandbox
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter
from statistics import median, quantiles
from typing import Annotated

import psutil
import typer

from whet.sandbox.language import language
from whet.sandbox.limits import MIB, Limits
from whet.sandbox.pool import Sandbox
from whet.verifiers.code import Case, check

KINDS = {  # programs for the load, and what each must be called
    "right": "print(sum(map(int, input().split())) + {i} * 0)",
    "wrong": "print(sum(map(int, input().split())) + 1 + {i} * 0)",
    "timed out": "while True: {i}",
    "crashed": "{i} / 0",
    "out of memory": "x = bytearray(10**8) * {i}\nx[::4096] = bytes(len(x[::4096]))",
    "output too long": "while True: print({i})",
}
SHARES = {
    "right": 0.42,
    "wrong": 0.42,
    "timed out": 0.02,
    "crashed": 0.1,
    "out of memory": 0.02,
    "output too long": 0.02,
}
LIMITS = Limits(seconds=1.0, memory=64 * MIB, output=4096)
_ASKED = [Case(stdin="3 4\n", stdout="7")]


def cost(code: str, runs: int) -> list[float]:
    """Milliseconds of that many runs, one after another, each of another program."""
    place, took = Sandbox(workers=1), []
    for i in range(runs + 3):
        (result,) = place.run_now(language("python").program(f"{code}\n# {i}")).results
        assert result.outcome == "ok", result
        took.append(1000 * result.seconds)
    place.close()
    return took[3:]


async def load(count: int, seed: int = 0) -> tuple[Counter[tuple[str, str]], float]:
    """{(what it should be called, what it was called): how often}, and seconds."""
    kinds = random.Random(seed).choices(list(SHARES), list(SHARES.values()), k=count)
    place = Sandbox()
    slots = asyncio.Semaphore(256)

    async def one(i: int, kind: str) -> tuple[str, str]:
        async with slots:
            return kind, (await check(KINDS[kind].format(i=i + 1), _ASKED, limits=LIMITS, sandbox=place)).outcome

    started = time.monotonic()
    found = Counter(await asyncio.gather(*(one(i, kind) for i, kind in enumerate(kinds))))
    took = time.monotonic() - started
    place.close()
    return found, took


def main(
    count: Annotated[int, typer.Option(min=1, help="Verifications of the load.")] = 10_000,
    runs: Annotated[int, typer.Option(min=2, help="Runs of each kind for the cost of one.")] = 50,
) -> None:
    """Costs and throughput of the sandbox on this machine."""
    me = psutil.Process()
    for name, code in (("bare", "pass"), ("json, math, re, collections", "import collections, json, math, re")):
        took = cost(code, runs=runs)
        typer.echo(f"python, {name}: median {median(took):.1f} ms, 9 in 10 below {quantiles(took, n=10)[-1]:.1f} ms")
    asyncio.run(load(100, seed=1))  # threads and imports are there
    before, children = me.memory_info().rss, len(me.children(recursive=True))
    found, took = asyncio.run(load(count))
    after = me.memory_info().rss
    wrongly = {pair: n for pair, n in found.items() if pair[0] != pair[1]}
    typer.echo(f"{count} verifications in {took:.0f} s, {count / took:.0f} a second on {os.cpu_count()} cores")
    for kind in SHARES:
        asked, got = sum(n for pair, n in found.items() if pair[0] == kind), found[kind, kind]
        typer.echo(f"  {kind}: {got} of {asked}")
    typer.echo(f"called something else: {wrongly or 'none'}")
    left = [p.pid for p in me.children(recursive=True) if p.status() == psutil.STATUS_ZOMBIE]
    typer.echo(f"memory {(after - before) / MIB:+.1f} MiB, processes {len(me.children(recursive=True)) - children:+d}, "
               f"zombies {len(left)}")  # fmt: skip
    if wrongly or left:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
