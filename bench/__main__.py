"""The bench: Whet against TRL's GRPOTrainer and transformers' `generate`, on a CPU or a GPU."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Annotated, Any

import typer

RESULTS = {"cpu": Path("results/bench.json"), "cuda": Path("results/bench-cuda.json")}
COMMANDS = {"cpu": "make bench", "cuda": "python -m bench --device cuda"}
PAGE = Path("docs/speed.md")

_HELP = """Measure whole GRPO steps, generation, training steps, start-up and peak memory, side by side with TRL.

All of it, into results/bench.json and docs/speed.md, in about eleven minutes on two cores:

    python -m bench

The same on a GPU, and with a larger model, into results/bench-cuda.json:

    python -m bench --device cuda

A quick look, which is printed and not stored:

    python -m bench --case "S add" --pairs 2
"""
app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(help=_HELP)
def main(
    case: Annotated[
        list[str] | None, typer.Option(help='"S add", "S long", "M add", on a GPU also "L long"; all if not given.')
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, or cuda.")] = "cpu",
    pairs: Annotated[int, typer.Option(min=1, help="Measured blocks of either side.")] = 8,
    out: Annotated[Path | None, typer.Option(help="Where to store the figures, after every case.")] = None,
) -> None:
    missing = [name for name in ("trl", "datasets") if importlib.util.find_spec(name) is None]
    if missing:
        raise typer.BadParameter(
            f"the bench measures against TRL, and {' and '.join(missing)} is not installed: "
            'pip install -c constraints.txt -e ".[bench]"'
        )
    import torch

    from bench.measure import measured
    from bench.table import refresh, speed
    from bench.workload import CASES
    from whet.files import write_json

    if device not in CASES:
        raise typer.BadParameter(f"there is no device {device!r}; there are {', '.join(CASES)}")
    if device == "cuda" and not torch.cuda.is_available():
        raise typer.BadParameter("torch can not reach a GPU here; take --device cpu, or install a torch built for CUDA")
    for name in case or ():
        if name not in CASES[device]:
            raise typer.BadParameter(f"there is no case {name!r}; there are {', '.join(map(repr, CASES[device]))}")
    whole = not case and pairs >= 6
    command = COMMANDS[device] if whole else "python -m bench"
    cases = [CASES[device][name] for name in case or CASES[device]]

    def keep(results: dict[str, Any]) -> None:
        if out:
            write_json(out, results)

    results = measured(cases, pairs, command, lambda text: typer.echo(text, err=True), keep)
    typer.echo(speed(results))
    target = out or (RESULTS[device] if whole else None)
    if target:
        write_json(target, results)
        typer.echo(f"stored in {target}")
    if target == RESULTS[device]:
        refresh(PAGE, COMMANDS[device], speed(results))


if __name__ == "__main__":
    app()
