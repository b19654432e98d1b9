"""`whet resume`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from whet.commands.shared import clear_errors, output, progress, saved, stoppable


@clear_errors
def resume(run: Annotated[Path, typer.Argument(help="The folder of a run that was stopped.")]) -> None:
    """Go on with a run that was stopped; what comes out is what would have come out.

    \b
    Example:
      whet resume runs/quickstart/grpo-seed0
    """
    from whet.launch import resume as go_on
    from whet.screen import screen_for, show_results

    with progress() as console:
        screen = screen_for(console)
        with saved(run, []), stoppable(screen):
            go_on(run, screen)
        show_results(output(), run)
