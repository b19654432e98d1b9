"""Accuracy against tokens: the arms of the recipe length-control as a picture and a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

COMMAND = "make comparisons"
RESULTS = Path("results/length-control.json")
PAGE, PICTURE = Path("docs/length.md"), Path("docs/assets/length.svg")
ACCURACY, TOKENS = "pass@1", "length"

_HELP = """Draw the newest result of `whet reproduce length-control` into docs/assets/length.svg and docs/length.md.

    python -m bench.length
"""

Arms = Mapping[str, Mapping[str, Any]]  # {arm: {measure: {"value", "low", "high"}}} of a results file
Points = Mapping[str, tuple[float, float]]  # {arm: (tokens, accuracy)}


def front(points: Points) -> list[str]:
    """The arms that no other dominates, by tokens: an arm is dominated where another has no more tokens and no less
    accuracy, and is better in one of the two."""

    def dominated(name: str) -> bool:
        x, y = points[name]
        return any(a <= x and b >= y and (a, b) != (x, y) for a, b in points.values())

    return sorted((name for name in points if not dominated(name)), key=lambda name: points[name])


def series(arms: Sequence[str]) -> dict[str, list[str]]:
    """{way: its arms, in order}: "linear-mild" and "linear-strong" are of the way "linear"; an arm alone is one."""
    found: dict[str, list[str]] = {}
    for arm in arms:
        found.setdefault(arm.rpartition("-")[0] or arm, []).append(arm)
    return found


def points(arms: Arms) -> dict[str, tuple[float, float]]:
    return {name: (of[TOKENS]["value"], of[ACCURACY]["value"]) for name, of in arms.items()}


def draw(arms: Arms, path: Path) -> None:
    """As SVG, the same bytes for the same figures. A line joins the strengths of a way, the mildest is the largest
    mark; bars are 95 % intervals; the dashes join the arms that nothing dominates."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "whet", "svg.fonttype": "none"})
    from matplotlib import pyplot

    from whet.metrics.plots import COLOURS

    figure, axes = pyplot.subplots(figsize=(8, 5), layout="constrained")
    for i, (way, names) in enumerate(series(list(arms)).items()):
        at = [(arms[name][TOKENS], arms[name][ACCURACY]) for name in names]
        colour = COLOURS[i % len(COLOURS)]
        for size, (x, y) in zip((9, 6, 3), at, strict=False):
            axes.plot([x["value"]], [y["value"]], marker="o", markersize=size, color=colour)
            axes.plot([x["low"], x["high"]], [y["value"]] * 2, color=colour, alpha=0.3)
            axes.plot([x["value"]] * 2, [y["low"], y["high"]], color=colour, alpha=0.3)
        axes.plot([x["value"] for x, _ in at], [y["value"] for _, y in at], color=colour, label=way)
    best = [points(arms)[name] for name in front(points(arms))]
    axes.plot(*zip(*best, strict=True), color="grey", linestyle="--", linewidth=1, zorder=0, label="not dominated")
    axes.set(xlabel="mean tokens of an attempt", ylabel="accuracy (pass@1)")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def text(run: Mapping[str, Any]) -> str:
    """What the page shows of a result: when, the picture, and a line for each arm."""
    from bench.table import table
    from whet.report import cell

    arms = run["arms"]
    best = set(front(points(arms)))
    lines = [
        [name, cell(ACCURACY, of[ACCURACY]), cell(TOKENS, of[TOKENS]), "yes" if name in best else ""]
        for name, of in arms.items()
    ]
    seeds = len(next(iter(arms.values()))["seeds"])
    picture = f"![Accuracy against mean tokens, by way and strength]({PICTURE.relative_to('docs')})"
    head = ["arm", "accuracy", "tokens", "dominated by none"]
    return f"{run['date']}, {seeds} seeds each, intervals over seeds and problems.\n\n{picture}\n\n{table(head, lines)}"


def main() -> None:
    from bench.table import refresh
    from whet.files import read_json

    if not RESULTS.exists():
        raise typer.BadParameter(f"there is no {RESULTS}; `whet reproduce length-control` makes it")
    run = read_json(RESULTS)["runs"][-1]
    draw(run["arms"], PICTURE)
    refresh(PAGE, COMMAND, text(run))
    typer.echo(text(run))


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(help=_HELP)(main)
    app()
