"""How speed changes with batch, completion length, model and group, and whether a step costs as its tokens do."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer

RESULTS = Path("results/scaling.json")
PAGE, PICTURE = Path("docs/speed.md"), Path("docs/assets/scaling.svg")
PARTS = ("generation", "training", "step")

_SECONDS = 1.0  # a point is measured for at least as long, and for at least two steps
_HELP = """Measure tokens per second against batch, completion length, model size and group size.

All of it, into results/scaling.json, docs/assets/scaling.svg and docs/speed.md, in about five minutes on two cores:

    python -m bench.scaling

A quick look, which is printed and not stored:

    python -m bench.scaling --quick
"""


@dataclass(frozen=True)
class Point:
    """What is measured at one place of a curve."""

    problems: int = 16
    group: int = 8
    longest: int = 32  # every completion has exactly so many tokens
    width: int = 128
    layers: int = 4
    heads: int = 4


CURVES: dict[str, dict[str, Point]] = {
    "problems of 8 attempts": {str(n): Point(problems=n) for n in (1, 2, 4, 8, 16, 32, 64)},
    "tokens of a completion": {str(n): Point(longest=n) for n in (8, 16, 32, 64, 128, 256, 512)},
    "attempts at a problem, 128 in all": {str(n): Point(problems=128 // n, group=n) for n in (2, 4, 8, 16, 32, 64)},
    "width of the model": {
        str(width): Point(width=width, layers=layers, heads=width // 32)
        for width, layers in ((64, 3), (128, 4), (192, 5), (256, 6), (384, 8))
    },
}
# Where a step's tokens change and nothing else, its time should be a straight line.
LINES = ("problems of 8 attempts", "tokens of a completion")


def measure(point: Point, seconds: float = _SECONDS) -> dict[str, float]:
    """Tokens, milliseconds and tokens per second of a step, through the stage RL in a run with a folder."""
    from bench.whet_arm import stage
    from bench.workload import Case
    from whet.machines.profile import Machine
    from whet.models.tiny import TinyQwen
    from whet.rollouts.sample import Sample
    from whet.run import Run
    from whet.types import Decoding

    tiny = TinyQwen(point.width, point.layers, point.heads, max(1, point.heads // 2), context=point.longest + 64)
    lm = tiny.build(0)
    lm.codec.eos = (lm.vocab,)  # nobody samples it: completions end by their length alone
    rl = stage(Case("S", "add", 0, 0))
    rl = replace(rl, problems=point.problems, rollout=Sample(point.group, Decoding(max_tokens=point.longest)))
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder), 0, {"policy": lm}, [rl], Machine())
        run.screen = times = _Times(run.stop, seconds)
        asyncio.run(run.go())
    tokens = point.problems * point.group * point.longest
    spent = {part: median(values) for part, values in times.spent.items()}
    return {
        "tokens": tokens,
        **{f"{part}_ms": 1e3 * seconds for part, seconds in spent.items()},
        **{f"{part}_tokens_per_second": tokens / seconds for part, seconds in spent.items()},
    }


class _Times:
    """Keeps the times of all steps but the first, and stops the run's stage when they are enough."""

    def __init__(self, stop: Callable[[str], None], seconds: float) -> None:
        self.stop, self.least, self.since = stop, seconds, 0.0
        self.spent: dict[str, list[float]] = {part: [] for part in PARTS}

    def begin(self, title: str, steps: int, done: int) -> None: ...
    def end(self) -> None: ...
    def alert(self, text: str) -> None: ...

    def warn(self, text: str) -> None: ...

    def advance(self, done: int, metrics: Mapping[str, float]) -> None:
        now = time.perf_counter()
        if done > 1:
            step, generation = now - self.since, metrics["time/play"]
            for part, seconds in zip(PARTS, (generation, step - generation, step), strict=True):
                self.spent[part].append(seconds)
            if sum(self.spent["step"]) > self.least and len(self.spent["step"]) > 1:
                self.stop("measured")
        self.since = time.perf_counter()


def line(points: Sequence[Mapping[str, float]], part: str = "step") -> dict[str, float]:
    """The straight line (least squares) through a step's milliseconds against its tokens: R^2 says how straight they
    lie. `largest_over_smallest`: what a token costs at the most tokens over what it costs at the fewest; above 1, a
    step's cost grows faster than its tokens."""
    import numpy as np

    tokens = np.array([point["tokens"] for point in points])
    spent = np.array([point[f"{part}_ms"] for point in points])
    slope, fixed = np.polyfit(tokens, spent, 1)
    left = ((spent - fixed - slope * tokens) ** 2).sum()
    cost = spent / tokens
    return {
        "microseconds_per_token": 1e3 * slope,
        "fixed_ms": fixed,
        "r_squared": 1 - left / ((spent - spent.mean()) ** 2).sum(),
        "largest_over_smallest": cost[tokens.argmax()] / cost[tokens.argmin()],
    }


def draw(curves: Mapping[str, Mapping[str, Mapping[str, float]]], path: Path) -> None:
    """One panel for each curve, as SVG; the same bytes for the same figures."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "whet", "svg.fonttype": "none"})
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, 2, figsize=(9, 6.4), layout="constrained")
    for axis, (title, points) in zip(axes.flat, curves.items(), strict=True):
        x = [int(name) for name in points]
        for part in PARTS:
            name = {"training": "training step", "step": "whole step"}.get(part, part)
            axis.plot(x, [point[f"{part}_tokens_per_second"] for point in points.values()], marker="o", label=name)
        axis.set(title=title, xscale="log", ylabel="tokens/s", ylim=(0, None))
        axis.set_xticks(x, labels=list(points), minor=False)
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    axes.flat[-1].legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def tables(results: Mapping[str, Any]) -> str:
    """What the page shows of the results."""
    from bench.table import table

    head = ["grows", "R²", "a token at the largest over one at the smallest", "µs per further token", "fixed, ms"]
    lines = [
        [
            name,
            f"{fit['r_squared']:.4f}",
            f"{fit['largest_over_smallest']:.2f}",
            f"{fit['microseconds_per_token']:.1f}",
            f"{fit['fixed_ms']:.0f}",
        ]
        for name, fit in results["lines"].items()
    ]
    picture = f"![Tokens per second against batch, completion length, group and model]({PICTURE.relative_to('docs')})"
    machine = results["machine"]
    about = f"{results['date']}, {machine['cores']} cores ({machine['cpu']}, {machine['instructions']}), fp32."
    return f"{about}\n\n{picture}\n\n{table(head, lines)}"


def main(
    quick: Annotated[bool, typer.Option(help="The three smallest points of each curve, and store nothing.")] = False,
) -> None:
    from bench import machine
    from bench.table import refresh
    from whet.files import write_json

    curves: dict[str, dict[str, dict[str, float]]] = {}
    for title, points in CURVES.items():
        for name, point in list(points.items())[: 3 if quick else None]:
            found = curves.setdefault(title, {})[name] = measure(point)
            told = ", ".join(f"{part} {found[f'{part}_tokens_per_second']:,.0f}" for part in PARTS)
            typer.echo(f"{title} {name}: {told} tokens/s", err=True)
    results = {
        **machine.description("make scaling"),
        "curves": curves,
        "lines": {title: line(list(curves[title].values())) for title in LINES},
    }
    typer.echo(tables(results))
    if not quick:
        write_json(RESULTS, results)
        draw(curves, PICTURE)
        refresh(PAGE, "make scaling", tables(results))


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(help=_HELP)(main)
    app()
