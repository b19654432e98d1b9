"""`whet reproduce`."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import Annotated

import typer

from whet.commands.shared import STOPPED, OnMachine, clear_errors, output, progress


@clear_errors
def reproduce(
    recipe: Annotated[str, typer.Argument(help="A recipe's name, or your own .py file; none: all stale ones.")] = "",
    seeds: Annotated[int, typer.Option(min=0, help="Seeds of the arms that the claim judges; 0: 8.")] = 0,
    first_seed: Annotated[int, typer.Option(min=0, help="From 1000 on for tuning: then nothing is written.")] = 0,
    quick: Annotated[bool, typer.Option("--quick", help="One seed, two arms: a look, nothing is written.")] = False,
    results: Annotated[Path, typer.Option(metavar="DIR", help="Where SLUG.json goes.")] = Path("results"),
    runs: Annotated[Path, typer.Option(metavar="DIR", help="Where the runs go.")] = Path("runs/reproduce"),
    workers: Annotated[int, typer.Option(min=0, help="Runs at a time, one thread each; 0: one per core.")] = 0,
    machine: OnMachine = "cpu",
) -> None:
    """Run every arm of a recipe over seeds, and judge its claim: reproduced, not reproduced, or inconclusive.

    The arms that the claim speaks of are run with 8 seeds, paired, others with fewer. Runs that are there already are
    used again; after Ctrl-C the same command goes on. Without a recipe all that are stale are run: those that have no
    result, or have changed since.

    \b
    Examples:
      whet reproduce gppo --quick
      whet reproduce gppo
      whet reproduce my_paper.py --seeds 4
      whet reproduce
    """
    from whet.workers import prepare

    prepare()  # imports beside what is imported next
    from whet import reproduce as work
    from whet.launch import Order, find
    from whet.run import Interrupted
    from whet.screen import show_reproduction, steps_bar

    names = [recipe] if recipe else work.stale(results)
    if not names:
        typer.echo("nothing is stale")
    for name in names:
        order = Order(name, machine=machine)
        found, file = find(order), results / f"{Path(name).stem}.json"
        todo = work.jobs(found, work.root_of(order, found, runs), seeds, first_seed, quick)
        started = time.monotonic()
        with progress() as console, steps_bar(console, f"{file.stem}: {len(todo)} runs") as watch:
            try:
                work.run_all(order, found, todo, watch, workers or work.WORKERS)
            except Interrupted:
                typer.echo("stopped, and saved; the same command goes on", err=True)
                raise typer.Exit(STOPPED) from None
        said = shlex.join(["whet", "reproduce", Path(name).name, *(["--seeds", str(seeds)] if seeds else [])])
        outcome = work.result(found, todo, said, time.monotonic() - started)
        show_reproduction(output(), outcome, quick)
        if not quick and not first_seed:
            work.write(file, order, found, outcome)
            typer.echo(f"written: {file}")
