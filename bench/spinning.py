"""What a training step takes alone and beside busy neighbours, by how long OpenMP's threads spin while they wait."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Annotated

import typer

PAGE = Path("docs/decisions/threads.md")
COMMAND = "python -m bench.spinning"
LIBGOMP = 300_000  # its own default where there are cores enough, as its manual says
_STEPS, _WARM = 8, 2

_HELP = """Training steps of model S on "add" with several values of GOMP_SPINCOUNT, into docs/decisions/threads.md.

    python -m bench.spinning
"""


def child() -> None:
    """Print the median seconds of a training step under this process's settings."""
    import asyncio

    from bench.arm import THREADS
    from bench.models import model_file
    from bench.whet_arm import stage
    from bench.workload import CASES
    from whet.machines.profile import Machine
    from whet.models.lm import load
    from whet.run import Run, Silent

    case = CASES["cpu"]["S add"]
    lm = load(str(model_file(case)))
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder), 0, {"policy": lm}, [stage(case, _STEPS)], Machine(threads=THREADS), Silent())
        asyncio.run(run.go())
        lines = (Path(folder) / "metrics.jsonl").read_text().splitlines()
    print(median(json.loads(line)["time/learn"] for line in lines[_WARM:]))


def step_seconds(spins: int, neighbours: int) -> float:
    """One measurement, beside so many processes that do nothing but turn in a loop."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(neighbours)]
    try:
        command = [sys.executable, "-c", "from bench.spinning import child; child()"]
        said = subprocess.run(
            command, env={**os.environ, "GOMP_SPINCOUNT": str(spins)}, check=True, capture_output=True, text=True
        )
    finally:
        for process in busy:
            process.kill()
            process.wait()
    return float(said.stdout)


def main(rounds: Annotated[int, typer.Option(min=1, help="Measurements of each kind, in turn.")] = 3) -> None:
    from bench.table import note

    counts, neighbours = (LIBGOMP, 1_000, 300), (0, 1)
    kinds = [(spins, beside) for spins in counts for beside in neighbours]
    seconds: dict[tuple[int, int], list[float]] = {kind: [] for kind in kinds}
    for _ in range(rounds):
        for kind in kinds:
            seconds[kind].append(step_seconds(*kind))
    lines = [
        [f"{spins:,}" + (" (libgomp's own)" if spins == LIBGOMP else ""),
         *(f"{1000 * median(seconds[spins, beside]):.0f}" for beside in neighbours)]
        for spins in counts
    ]  # fmt: skip
    head = ["GOMP_SPINCOUNT", "alone, ms", "beside a busy process, ms"]
    typer.echo(note(PAGE, COMMAND, head, lines, rounds))


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(help=_HELP)(main)
    app()
