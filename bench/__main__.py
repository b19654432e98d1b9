"""The bench: Whet against TRL's GRPOTrainer and transformers' `generate`, on a CPU."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Annotated

import typer

RESULTS = Path("results/bench.json")
PAGE = Path("docs/speed.md")

_HELP = """Measure whole GRPO steps, generation, training steps, start-up and peak memory, side by side with TRL.

All of it, into results/bench.json and docs/speed.md, in about eleven minutes on two cores:

    python -m bench

A quick look, which is printed and not stored:

    python -m bench --case "S add" --pairs 2
"""
app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(help=_HELP)
def main(
    case: Annotated[list[str] | None, typer.Option(help='"S add", "S long" or "M add"; all if not given.')] = None,
    pairs: Annotated[int, typer.Option(min=1, help="Measured blocks of either side.")] = 8,
    out: Annotated[Path | None, typer.Option(help="Where to store the figures.")] = None,
) -> None:
    missing = [name for name in ("trl", "datasets") if importlib.util.find_spec(name) is None]
    if missing:
        raise typer.BadParameter(
            f"the bench measures against TRL, and {' and '.join(missing)} is not installed: "
            'pip install -c constraints.txt -e ".[bench]"'
        )
    from bench.measure import measured
    from bench.table import refresh, speed
    from bench.workload import CASES
    from whet.files import write_json

    for name in case or ():
        if name not in CASES:
            raise typer.BadParameter(f"there is no case {name!r}; there are {', '.join(map(repr, CASES))}")
    whole = not case and pairs >= 8
    command = "make bench" if whole else "python -m bench"
    results = measured([CASES[name] for name in case or CASES], pairs, command, lambda text: typer.echo(text, err=True))
    typer.echo(speed(results))
    target = out or (RESULTS if whole else None)
    if target:
        write_json(target, results)
        typer.echo(f"stored in {target}")
    if target == RESULTS:
        refresh(PAGE, "make bench", speed(results))


if __name__ == "__main__":
    app()
