"""`whet replay`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from whet.commands.shared import clear_errors, nothing, output, progress


@clear_errors
def replay(
    run: Annotated[Path, typer.Argument(help="The folder of a run with an RL stage.")],
    reward: Annotated[
        str,
        typer.Option(help="exact, numeric, math, ..., file.py:function, or 'run', the run's own as it is today."),
    ],
    term: Annotated[
        str, typer.Option(help="Set it against this term of the run's reward, not against the whole.")
    ] = "",
    last: Annotated[int, typer.Option(min=0, help="Only so many of the last steps; 0: all.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, to stdout.")] = False,
) -> None:
    """Score the stored attempts of a run by another reward: what would have been different?

    Means with intervals over groups, how often both agree, which advantages (a reward less the mean of its group) would
    have had another sign, and the attempts whose reward changes most. Nothing is written into the run.

    \b
    Examples:
      whet replay runs/quickstart/grpo-seed0 --reward numeric
      whet replay runs/quickstart/grpo-seed0 --reward my_reward.py:score --last 10
    """
    from whet.replaying import lines_of, replayed
    from whet.screen import show_table

    with progress() as console, console.status("scoring") if console.is_terminal else nothing():
        told = replayed(run, reward, term, last)
    if as_json:
        typer.echo(json.dumps(told, indent=2, ensure_ascii=False))
        return
    show_table(output(), ("", "value"), lines_of(told), "95 % intervals over groups")
    for attempt in told["changed"]:
        _show(attempt)


def _show(attempt: Mapping[str, Any]) -> None:
    from whet.screen import clean

    place = f"step {attempt['step']}, problem {clean(attempt['problem'])}, attempt {attempt['attempt']}"
    typer.echo(f"{place}: {attempt['old']:g} -> {attempt['new']:g}")
    typer.echo(f"    {clean(attempt['text'])}")
