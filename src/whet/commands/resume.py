"""`whet resume`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from whet.commands.shared import Track, clear_errors, mirrored, output, progress, saved, stoppable, trackers


@clear_errors
def resume(
    run: Annotated[Path, typer.Argument(help="The folder of a run that was stopped.")],
    track: Track = [],  # noqa: B006 (typer copies it)
) -> None:
    """Go on with a run that was stopped; what comes out is what would have come out.

    Trackers are asked for again; each then shows every step once.

    \b
    Examples:
      whet resume runs/quickstart/grpo-seed0
      whet resume runs/quickstart/grpo-seed0 --track tensorboard
    """
    from whet.launch import resume as go_on
    from whet.screen import screen_for, show_results

    with progress() as console:
        screen = screen_for(console)
        trackers(track)
        with saved(run, []), stoppable(screen), mirrored(screen, run, track) as shown:
            go_on(run, shown)
        show_results(output(), run)
