"""The comparison of curricula, from its result into its page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

RESULT = Path("results/curricula.json")
PAGE = Path("docs/curricula.md")
COMMAND = "make comparisons"

_HELP = """Put the newest result of `whet reproduce curricula` into docs/curricula.md:

    python -m bench.curricula
"""
app = typer.Typer(add_completion=False, rich_markup_mode=None)


def text(run: Mapping[str, Any]) -> str:
    """The table of one run of the recipe: an arm a line, with 95 % intervals over seeds and problems."""
    from bench.table import table
    from whet.report import cell

    names = [name for name in next(iter(run["arms"].values())) if name != "seeds"]
    against = run["against_first"]
    first, lines = next(iter(run["arms"])), []
    for arm, found in run["arms"].items():
        gain = cell(names[0], against[arm][names[0]], change=True) if arm in against else ""
        lines.append([f"`{arm}`", *(cell(name, found[name]) for name in names), gain])
    seeds = len(run["arms"][first]["seeds"])
    tokens = round(max(run["tokens"].values()) / 1000)
    head = ["curriculum", *names, f"{names[0]}, against {first}"]
    return f"{run['date']}, {seeds} seeds, {tokens}k tokens per run.\n\n{table(head, lines)}"


@app.command(help=_HELP)
def main(
    result: Annotated[Path, typer.Option(help="What `whet reproduce curricula` wrote.")] = RESULT,
    page: Annotated[Path, typer.Option(help="The page with the place for the figures.")] = PAGE,
) -> None:
    from bench.table import refresh
    from whet.files import read_json

    if not result.exists():
        raise typer.BadParameter(f"there is no {result}; make it with `whet reproduce curricula`")
    made = text(read_json(result)["runs"][-1])
    typer.echo(made)
    refresh(page, COMMAND, made)


if __name__ == "__main__":
    app()
