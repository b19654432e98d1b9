"""`whet compare`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from whet.commands.shared import (
    OnMachine,
    Seed,
    Settings,
    System,
    clear_errors,
    nothing,
    output,
    progress,
)


@clear_errors
def compare(
    sides: Annotated[
        list[str],
        typer.Argument(metavar="A B ...", help="Run folders, folders of runs, patterns of them, models, or hub names."),
    ],
    task: Annotated[str, typer.Option(help="Ask all models this anew, as `whet eval` does; needed for models.")] = "",
    samples: Annotated[int, typer.Option(min=1, help="With --task: attempts at each problem.")] = 8,
    problems: Annotated[int, typer.Option(min=2, help="With --task: how many problems, from the first.")] = 200,
    max_tokens: Annotated[int, typer.Option(min=1, help="With --task: longest attempt, in tokens.")] = 256,
    temperature: Annotated[float, typer.Option(min=0.0, help="With --task: of sampling; 0 is greedy.")] = 1.0,
    prompt: Annotated[str, typer.Option("--prompt", metavar="COLUMN", help="With --task: column of questions.")] = "",
    answer: Annotated[str, typer.Option("--answer", metavar="COLUMN", help="With --task: column of answers.")] = "",
    reward: Annotated[str, typer.Option(help="With --task: who judges (see train).")] = "",
    system: System = "",
    seed: Seed = 0,
    machine: OnMachine = "cpu",
    settings: Settings = [],  # noqa: B006
    level: Annotated[float, typer.Option(min=0.5, max=0.999, help="Of all intervals.")] = 0.95,
    plot: Annotated[Path | None, typer.Option(metavar="FILE.png", help="Draw the differences with intervals.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, to stdout.")] = False,
) -> None:
    """Compare runs or models on the same problems: which is better, by how much, how sure, and what would settle it.

    Every side is compared with the first. Runs are compared by what they measured at their end, or with --task by
    asking their models anew. Runs that differ in -seedN only are one side, and two such sides are paired by seed.

    \b
    Examples:
      whet compare runs/mine/grpo-seed0 runs/mine/gppo-seed0
      whet compare 'runs/mine/grpo-*' 'runs/mine/gppo-*' --plot difference.png
      whet compare ./my-model runs/quickstart/grpo-seed0 --task chain-sum --set terms=4 --json
    """
    from whet.comparing import compared, found, played, stored
    from whet.evaluating import asked
    from whet.files import write_bytes
    from whet.launch import Order
    from whet.launch import machine as profile

    if plot is not None and plot.suffix != ".png":
        raise ValueError(f"--plot writes a .png file, got {plot}")
    arms = found(sides)
    with progress() as console:
        if task:
            what = asked(task, settings, prompt, answer or None, reward, system)
            where = profile(Order("", machine=machine))
            with console.status(f"asking {len(arms)} sides: {task}") if console.is_terminal else nothing():
                measured = played(arms, what, samples, problems, max_tokens, temperature, seed, where)
        else:
            measured = stored(arms)
        told = compared(measured, level)
    if plot is not None:
        write_bytes(plot, _drawn(told))
    if as_json:
        typer.echo(json.dumps(told, indent=2, ensure_ascii=False))
    else:
        _show(told)


def _show(told: Mapping[str, Any]) -> None:
    from whet.comparing import by_seed, wanted
    from whet.report import cell, p_value
    from whet.screen import show_table

    console, percent = output(), f"{100 * told['level']:g} %"
    names = [side["name"] for side in told["sides"]]
    metrics = list(told["sides"][0]["metrics"])
    rows = [(metric, *(cell(metric, side["metrics"][metric]) for side in told["sides"])) for metric in metrics]
    runs = ", ".join(f"{side['name']}: {len(side['places'])}" for side in told["sides"] if len(side["places"]) > 1)
    caption = f"{told['problems']} problems, {told['attempts']} attempts at each; {percent} intervals"
    show_table(console, ("metric", *names), rows, caption + (f"; seeds of {runs}" if runs else ""))
    header, table = by_seed(told, metrics[0])
    if table:
        show_table(console, header, table, f"arms by seeds; {percent} intervals over both; --json has every metric")
    for name in names[1:]:
        chosen = [pair for pair in told["pairs"] if pair["of"] == name]
        rows = [
            (
                pair["metric"],
                cell(pair["metric"], pair, change=True),
                p_value(pair["p_holm"]),
                "" if pair["effect"] is None else f"{pair['effect']:+.2f}",
                f"{pair['wins']} / {pair['ties']} / {pair['losses']}",
                pair["verdict"],
            )
            for pair in chosen
        ]
        header = ("metric", f"{name} - {names[0]}", "p", "d_z", "+ / = / -", "verdict")
        show_table(console, header, rows, _caption(chosen[0]["unit"], len(names) > 2))
        for pair in chosen:
            if said := wanted(pair):
                typer.echo(f"{pair['metric']}: {said}")
        (reached,) = (found for found in told["coverage"] if found["of"] == name)
        typer.echo(_reached(reached, told["attempts"]))
    for note in told["notes"]:
        typer.echo(f"note: {note}")


def _reached(found: Mapping[str, Any], attempts: int) -> str:
    from whet.report import p_value

    p = "" if found["p"] is None else f"; p {p_value(found['p'])}"
    caught = ""
    if found["crossing"]:
        ends = [f"{end:g}" if end else f"above {attempts}" for end in (found["crossing_low"], found["crossing_high"])]
        share = f"in {100 * found['crossing_share']:.0f} % of resamples at all"
        caught = f"; from pass@{found['crossing']} on {found['than']} has caught up ({' to '.join(ends)}; {share})"
    return (
        f"solved at least once in {attempts}: both {found['both']}, only {found['of']} {found['gained']}, "
        f"only {found['than']} {found['lost']}, neither {found['neither']}{p}{caught}"
    )


def _caption(unit: str, adjusted: bool) -> str:
    several = "; intervals and p are adjusted for several comparisons" if adjusted else ""
    pairs = "seed and problem" if unit == "seeds" else "problem"
    return f"paired by {pairs}; d_z over {unit}; + / = / -: problems with more, the same, less{several}"


def _drawn(told: Mapping[str, Any]) -> bytes:
    """The differences in pass@k, in points."""
    from whet.metrics.plots import differences
    from whet.report import is_share

    shares = [pair for pair in told["pairs"] if is_share(pair["metric"]) and pair["value"] is not None]
    if not shares:
        raise ValueError("there is no pass@k that all sides know, so nothing to draw")
    several = len(told["sides"]) > 2
    rows = []
    for pair in shares:
        ends = (float("nan") if pair[end] is None else 100 * pair[end] for end in ("low", "high"))
        rows.append((f"{pair['of']} {pair['metric']}" if several else pair["metric"], 100 * pair["value"], *ends))
    than, others = told["sides"][0]["name"], " and ".join(side["name"] for side in told["sides"][1:])
    return differences(f"{others} against {than}", "difference (points)", rows)
