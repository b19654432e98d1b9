"""`whet track`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from whet.commands.shared import clear_errors, progress


@clear_errors
def track_run(
    run: Annotated[Path, typer.Argument(help="The folder of a run, done or not.")],
    to: Annotated[list[str], typer.Option("--to", metavar="NAME", help="tensorboard, wandb, wandb:online or trackio.")],
) -> None:
    """Show a run that is there already in a tracker; only wandb:online sends anything away.

    \b
    Examples:
      whet track runs/quickstart/grpo-seed0 --to tensorboard
      whet track runs/quickstart/grpo-seed0 --to trackio --to wandb:online
    """
    from whet.screen import screen_for
    from whet.trackers.mirror import LOG, Mirrored

    if not (run / LOG).exists():
        raise ValueError(f"{run} holds no {LOG}, so there is nothing to show; give the folder of a run")
    with progress() as console:
        mirror = Mirrored(screen_for(console), run, to)
        mirror.follow()
        mirror.finish()
        failed = mirror.failed
    if failed:
        raise typer.Exit(1)
