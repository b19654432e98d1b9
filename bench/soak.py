"""A long run of a tiny model: does memory stay flat, and is anything left behind?"""

from __future__ import annotations

import asyncio
import multiprocessing as mp
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import psutil
import typer

RESULTS = Path("results/soak.json")
PAGE = Path("docs/speed.md")
EVERY = 20  # steps between two looks
SETTLED = 200  # steps after which nothing may grow any more
MOST_GROWTH = 2.0  # percent of the resident memory

_HELP = """Run 2,000 RL steps of a tiny model and watch memory, files, threads and processes.

The figures go into results/soak.json and docs/speed.md; the exit code is 1 if a bound is broken:

    python -m bench.soak

A quick look, which is printed and not stored:

    python -m bench.soak --steps 300
"""


def look(process: psutil.Process, step: int) -> dict[str, int]:
    """What a process holds. Threads and open files are the process's own, children those of all generations."""
    return {
        "step": step,
        "memory_bytes": process.memory_info().rss,
        "open_files": process.num_fds(),
        "threads": process.num_threads(),
        "children": len(process.children(recursive=True)),
    }


def soak(pipe: Connection, steps: int) -> None:
    """The run itself, in a process of its own: looks every so many steps, and one more when the run is over."""
    from whet.machines.profile import Machine
    from whet.models.tiny import TinyQwen
    from whet.objectives.clip import Clip
    from whet.rewards.verified import exact
    from whet.rollouts.sample import Sample
    from whet.run import Run, Save
    from whet.scoring import Weighted
    from whet.stages.learning import Train
    from whet.stages.rl import RL
    from whet.tasks.chain_sum import ChainSum
    from whet.types import Decoding

    me = psutil.Process()
    stage = RL(
        ChainSum(terms=2),
        rollout=Sample(2, Decoding(max_tokens=8)),
        reward=Weighted({"correct": exact}),  # its workers are processes, which a leak would show in
        train={"policy": Train(Clip(), lr=1e-4)},
        problems=2,
        steps=steps,
        save=Save(every=100),
    )
    lm = TinyQwen(width=16, layers=1, heads=2, kv_heads=1, context=64).build(0)
    with tempfile.TemporaryDirectory() as folder:
        screen = _Looks(pipe.send, me)
        asyncio.run(Run(Path(folder), 0, {"policy": lm}, [stage], Machine(), screen).go())
    pipe.send({"over": look(me, steps), "processes": [child.pid for child in me.children(recursive=True)]})


class _Looks:
    def __init__(self, send: Callable[[object], None], process: psutil.Process) -> None:
        self.send, self.process = send, process

    def begin(self, title: str, steps: int, done: int) -> None: ...
    def end(self) -> None: ...
    def alert(self, text: str) -> None: ...

    def warn(self, text: str) -> None: ...

    def advance(self, done: int, metrics: Mapping[str, float]) -> None:
        if done % EVERY == 0:
            self.send(look(self.process, done))


def watched(steps: int) -> dict[str, Any]:
    """Do the run, and say what it held and what outlived it."""
    started, looks = time.monotonic(), []
    context = mp.get_context("spawn")
    pipe, theirs = context.Pipe()
    process = context.Process(target=soak, args=(theirs, steps))
    process.start()
    theirs.close()
    while "over" not in (heard := pipe.recv()):
        looks.append(heard)
    process.join(60)
    alive = [pid for pid in [process.pid, *heard["processes"]] if pid and psutil.pid_exists(pid)]
    return {
        "steps": steps,
        "seconds": time.monotonic() - started,
        **judged(looks),
        "left_behind": {"processes": len(alive), "exit_code": process.exitcode},
        "looks": looks,
    }


def judged(looks: Sequence[Mapping[str, int]]) -> dict[str, Any]:
    """Growth from the first looks after `SETTLED` steps to the last; of memory, which breathes, medians of five."""
    settled = [one for one in looks if one["step"] >= SETTLED] or looks
    memory = [one["memory_bytes"] for one in settled]
    first, last = median(memory[:5]), median(memory[-5:])
    counts = ("open_files", "threads", "children")
    return {
        "memory_growth_percent": 100 * (last / first - 1),
        "memory_bytes": {"settled": first, "last": last, "most": max(memory)},
        "grown": {name: settled[-1][name] - settled[0][name] for name in counts},
        "most": {name: max(one[name] for one in settled) for name in counts},
    }


def broken(results: Mapping[str, Any]) -> list[str]:
    """The bounds that do not hold, in words."""
    out = []
    if (growth := results["memory_growth_percent"]) > MOST_GROWTH:
        out.append(f"memory grew by {growth:.1f} % after step {SETTLED}; at most {MOST_GROWTH:.0f} % are allowed")
    for name, count in results["grown"].items():
        if count > 0:
            out.append(f"{name} grew by {count} after step {SETTLED}")
    left = results["left_behind"]
    if left["processes"]:
        out.append(f"{left['processes']} processes outlived the run")
    if left["exit_code"]:
        out.append(f"the run's process ended with {left['exit_code']}")
    return out


def table_of(results: Mapping[str, Any]) -> str:
    from bench.table import table

    memory, grown, most = results["memory_bytes"], results["grown"], results["most"]
    named = {"open_files": "open files", "threads": "threads", "children": "child processes"}
    lines = [
        [
            "memory, MiB",
            f"{memory['settled'] / 2**20:.0f}",
            f"{memory['last'] / 2**20:.0f} ({results['memory_growth_percent']:+.1f} %)",
        ]
    ]
    lines += [[named[key], f"{most[key]} at most", f"{grown[key]:+d}"] for key in grown]
    lines += [["processes left when the run had ended", "", str(results["left_behind"]["processes"])]]
    head = ["", f"after step {SETTLED}", f"at step {results['steps']:,}"]
    return f"{results['date']}, {results['seconds']:.0f} seconds.\n\n{table(head, lines)}"


def main(steps: Annotated[int, typer.Option(min=EVERY, help="Steps of the run.")] = 2000) -> None:
    from bench import machine
    from bench.table import refresh
    from whet.files import write_json

    results = {**machine.description("make soak"), **watched(steps)}
    typer.echo(table_of(results))
    if steps >= 2000:
        write_json(RESULTS, results)
        refresh(PAGE, "make soak", table_of(results))
    if wrong := broken(results):
        typer.echo("\n".join(wrong), err=True)
        raise typer.Exit(1)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(help=_HELP)(main)
    app()
