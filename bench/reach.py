"""What a model can do at all in many attempts: pass@k and CoT-pass@k of a base, of RL and of a teacher's traces."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

if TYPE_CHECKING:
    from whet.metrics.intervals import Estimate

COMMAND, SLUG = "make comparisons", "limit-of-rlvr"
PAGE, PICTURES = Path("docs/reach.md"), Path("docs/assets")
RUNS = Path("runs/reproduce")
MODELS = {"base": ("rl", "before"), "RL": ("rl", "after"), "distilled": ("distill", "after")}  # arm, when
COUNTS = {"pass": "", "CoT-pass": "reasoned"}  # by answers alone, and by reasoning as well
SHOWN = (1, 4, 16, 64, 256)

_HELP = """Draw pass@k and CoT-pass@k of the runs that `whet reproduce limit-of-rlvr` has made into docs/reach.md:

    python -m bench.reach
"""
app = typer.Typer(add_completion=False, rich_markup_mode=None)

Curve = Mapping[int, np.ndarray]  # {k: [seeds, problems]}


def curve(folders: list[Path], when: Any, term: str) -> dict[int, np.ndarray]:
    """For k = 1, 2, 4, ... up to all attempts."""
    from whet.metrics.reach import Counted

    ks = [2**i for i in range(SHOWN[-1].bit_length())]
    return {k: np.stack([Counted(k, term, when)(folder) for folder in folders]) for k in ks}


def estimates(of: Curve) -> dict[int, Estimate]:
    from whet.metrics.seeds import over_seeds

    return {k: over_seeds(values) for k, values in of.items()}


def crossed(base: Curve, other: Curve) -> str:
    """From which k on the base is no worse, with its interval: "8 [4, 32], in 100 % of resamples"."""
    from whet.metrics.crossing import crossing_between

    found = crossing_between(base, other)
    ends = ", ".join("never" if np.isinf(end) else f"{end:.0f}" for end in (found.low, found.high))
    return f"{found.k or 'none'} [{ends}], in {100 * found.share:.0f} % of resamples"


def text(curves: Mapping[str, Mapping[str, Curve]], seeds: int) -> str:
    """What the page shows of {"pass": {model: curve}, ...}."""
    from bench.table import table
    from whet.report import cell
    from whet.reproduce import within

    parts = [f"{seeds} seeds, intervals of 95 % over seeds and problems."]
    for count, models in curves.items():
        head = [count, *(f"@{k}" for k in SHOWN), "the base is no worse from k"]
        lines = []
        for name, of in models.items():
            known = estimates(of)
            cells = [cell("pass@k", within("pass@k", known[k])) for k in SHOWN]
            lines.append([name, *cells, "" if name == "base" else crossed(models["base"], of)])
        parts += [f"![{count}@k of base, RL and distilled]({picture(count).relative_to('docs')})", table(head, lines)]
    return "\n\n".join(parts)


def picture(count: str) -> Path:
    return PICTURES / f"reach-{count.lower()}.png"


@app.command(help=_HELP)
def main(runs: Annotated[Path, typer.Option(help="Where `whet reproduce` keeps its runs.")] = RUNS) -> None:
    from bench.table import refresh
    from whet.files import write_bytes
    from whet.launch import Order, find
    from whet.metrics.plots import passes
    from whet.reproduce import jobs, root_of

    order = Order(SLUG)
    recipe = find(order)
    folders: dict[str, list[Path]] = {}
    for job in jobs(recipe, root_of(order, recipe, runs)):
        folders.setdefault(job.arm, []).append(job.folder)
    wanted = {arm for arm, _ in MODELS.values()}
    if missing := [str(of) for arm in wanted for of in folders[arm] if not (of / "report.json").exists()]:
        raise typer.BadParameter(f"{missing[0]} is missing or not done; `whet reproduce {SLUG}` makes it")
    curves = {
        count: {name: curve(folders[arm], when, term) for name, (arm, when) in MODELS.items()}
        for count, term in COUNTS.items()
    }
    for count, models in curves.items():
        write_bytes(
            picture(count),
            passes(
                {name: [(k, e.value, e.low, e.high) for k, e in estimates(of).items()] for name, of in models.items()}
            ),
        )
    made = text(curves, min(len(folders[arm]) for arm in wanted))
    refresh(PAGE, COMMAND, made)
    typer.echo(made)


if __name__ == "__main__":
    app()
