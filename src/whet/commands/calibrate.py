"""`whet calibrate`."""

from __future__ import annotations

from typing import Annotated

import typer

from whet.commands.shared import OnMachine, clear_errors, nothing, output, progress


@clear_errors
def calibrate(
    model: Annotated[
        str, typer.Argument(help="A folder in Hugging Face format, a name on the hub, or a recipe: its base model.")
    ],
    family: Annotated[
        list[str] | None,
        typer.Option(help="boolean, sudoku, ...; may be given again. All own ones if not given."),
    ] = None,
    low: Annotated[float, typer.Option(min=0.0, max=1.0, help="Least pass rate that teaches.")] = 0.1,
    high: Annotated[float, typer.Option(min=0.0, max=1.0, help="Greatest.")] = 0.7,
    problems: Annotated[int, typer.Option(min=2, help="Problems of a level that is tried.")] = 16,
    samples: Annotated[int, typer.Option(min=1, help="Attempts at each.")] = 4,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest attempt, in tokens.")] = 256,
    most: Annotated[int | None, typer.Option(min=0, help="Highest level to try; the last if not given.")] = None,
    seed: Annotated[
        list[int] | None, typer.Option(help="Of a recipe's base; may be given again, rates are then the mean.")
    ] = None,
    machine: OnMachine = "cpu",
) -> None:
    """Find the levels of logic puzzles that a model solves neither too rarely nor too often.

    Levels are a family's settings from easy to hard; the band is found by bisection, on problems that are neither
    trained nor tested on.

    \b
    Examples:
      whet calibrate ./my-model --family boolean --family sudoku
      whet calibrate synlogic --most 3 --max-tokens 40 --seed 1000
    """
    from whet.calibrating import band
    from whet.calibrating import model as load
    from whet.launch import Order
    from whet.launch import machine as profile
    from whet.screen import show_table
    from whet.tasks.logic import OWN

    rows = []
    with progress() as console:
        on = profile(Order("", machine=machine))
        with console.status(f"calibrating {model}") if console.is_terminal else nothing():
            lms = [load(model, one, on) for one in seed or [0]]
            for name in family or OWN:
                found = band(name, lms, (low, high), problems, samples, max_tokens, most, on)
                levels = "none" if found.first is None else f"{found.first} to {found.last}"
                rates = ", ".join(f"{level}: {rate:.2f}" for level, rate in found.rates.items())
                rows.append((name, levels, rates))
    show_table(output(), ("family", "levels", "pass rate by level"), rows)
