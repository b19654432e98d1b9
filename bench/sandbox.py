"""What a run in the sandbox costs, and ten thousand verifications under load: none lost, none miscounted, nothing left.

python -m bench.sandbox            # about four minutes on two cores; into results/sandbox.json and docs/sandbox.md
"""

from __future__ import annotations

import asyncio
import random
import subprocess
import time
from collections import Counter
from pathlib import Path
from statistics import median, quantiles
from typing import Annotated, Any

import psutil
import typer

from bench.machine import description
from bench.table import refresh, table
from whet.files import write_json
from whet.sandbox.bubblewrap import PYTHON
from whet.sandbox.language import language
from whet.sandbox.limits import MIB, Limits
from whet.sandbox.pool import Sandbox
from whet.verifiers.code import Case, check

RESULTS, PAGE = Path("results/sandbox.json"), Path("docs/sandbox.md")
COUNT, WAITING = 10_000, 256  # verifications, and how many of them wait at a time
PROGRAMS = {"bare": "pass", "with collections, json, math, re": "import collections, json, math, re"}
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


def outside(code: str, runs: int) -> list[float]:
    """The same by this interpreter in a process that nothing protects, without installed packages: what cannot be
    undercut."""
    took = []
    for _ in range(runs + 3):
        started = time.perf_counter()
        subprocess.run([PYTHON, "-S", "-c", code], env={"LC_ALL": "C.UTF-8"}, check=True)
        took.append(1000 * (time.perf_counter() - started))
    return took[3:]


async def load(count: int, shares: dict[str, float], seed: int = 0) -> tuple[Counter[tuple[str, str]], float]:
    """{(what it should be called, what it was called): how often}, and seconds."""
    kinds = random.Random(seed).choices(list(shares), list(shares.values()), k=count)
    found: Counter[tuple[str, str]] = Counter()
    place, left = Sandbox(remembered=0), enumerate(kinds)

    async def ask() -> None:
        for i, kind in left:
            code = KINDS[kind].format(i=i + 1)
            found[kind, (await check(code, _ASKED, limits=LIMITS, sandbox=place)).outcome] += 1

    started = time.monotonic()
    await asyncio.gather(*(ask() for _ in range(WAITING)))
    took = time.monotonic() - started
    place.close()
    return found, took


def measured(count: int, runs: int) -> dict[str, Any]:
    """{"cost_ms": {program: {"sandbox", "outside": {"median", "ninth"}}}, "right": verifications a second of programs
    that are right, "load": what came of `count` mixed ones}."""
    costs = {
        name: {where: _spread(of(code, runs)) for where, of in (("sandbox", cost), ("outside", outside))}
        for name, code in PROGRAMS.items()
    }
    _, took = asyncio.run(load(400, {"right": 1.0}, seed=2))
    me = psutil.Process()
    asyncio.run(load(200, SHARES, seed=1))  # threads and imports are there
    before, children = me.memory_info().rss, len(me.children(recursive=True))
    found, seconds = asyncio.run(load(count, SHARES))
    left = me.children(recursive=True)
    return {
        "cost_ms": costs,
        "right": 400 / took,
        "load": {
            "count": sum(found.values()),
            "seconds": seconds,
            "asked": {kind: sum(n for pair, n in found.items() if pair[0] == kind) for kind in SHARES},
            "wrongly": {" as ".join(pair): n for pair, n in found.items() if pair[0] != pair[1]},
            "memory_growth_bytes": me.memory_info().rss - before,
            "processes_left": len(left) - children,
            "zombies": sum(one.status() == psutil.STATUS_ZOMBIE for one in left),
        },
    }


def _spread(took: list[float]) -> dict[str, float]:
    return {"median": median(took), "ninth": quantiles(took, n=10)[-1]}


def table_of(results: dict[str, Any]) -> str:
    lines = [
        [f"Python, {name}", f"{of['sandbox']['median']:.1f} ms", f"{of['sandbox']['ninth']:.1f} ms",
         f"{of['outside']['median']:.1f} ms"]
        for name, of in results["cost_ms"].items()
    ]  # fmt: skip
    of = results["load"]
    asked = ", ".join(f"{n:,} {kind}" for kind, n in of["asked"].items())
    wrongly = ", ".join(f"{n} {pair}" for pair, n in of["wrongly"].items()) or "none"
    return (
        f"{results['date']}, {results['machine']['cores']} cores ({results['machine']['cpu']}).\n\n"
        + table(["one run", "median", "9 in 10 below", "outside, median"], lines)
        + f"\n{results['right']:.0f} verifications a second of programs that are right, one test each, all of them "
        f"different.\n\n{of['count']:,} mixed verifications in {of['seconds']:.0f} s: {asked}. Called something else: "
        f"{wrongly}; lost: {results['asked'] - of['count']}; memory {of['memory_growth_bytes'] / MIB:+.1f} MiB; "
        f"processes left {of['processes_left']}, zombies {of['zombies']}.\n"
    )


def main(
    count: Annotated[int, typer.Option(min=1, help="Verifications of the load.")] = COUNT,
    runs: Annotated[int, typer.Option(min=2, help="Runs of each kind for the cost of one.")] = 60,
) -> None:
    """Costs and throughput of the sandbox on this machine."""
    results = {**description("python -m bench.sandbox"), "asked": count, **measured(count, runs)}
    typer.echo(table_of(results))
    if count >= COUNT:
        write_json(RESULTS, results)
        refresh(PAGE, "python -m bench.sandbox", table_of(results))
    of = results["load"]
    if of["wrongly"] or of["zombies"] or of["processes_left"] > 0 or of["count"] != count:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
