"""`whet push`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from whet.commands.shared import clear_errors, nothing, progress


@clear_errors
def push(
    run: Annotated[Path, typer.Argument(help="The folder of a finished run.")],
    name: Annotated[str, typer.Argument(help="owner/name on the hub; without it nothing is uploaded.")] = "",
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only prepare the folder.")] = False,
) -> None:
    """Prepare a finished run's model for the Hugging Face hub, and upload it if a name is given.

    The folder RUN/push gets the weights, the plots and a model card with recipe, results and intervals. Nothing leaves
    this machine without NAME.

    \b
    Examples:
      whet push runs/quickstart/grpo-seed0
      whet push runs/quickstart/grpo-seed0 my-name/my-model --private
    """
    from whet.pushing import check_name, prepare, upload

    if name:
        check_name(name)
    place = prepare(run)
    typer.echo(f"prepared {place}")
    later = f"whet push {run} {name or 'OWNER/NAME'}{' --private' if private else ''}"
    if not name or dry_run:
        typer.echo(f"nothing was uploaded; upload it with: {later}")
        return
    with progress() as console, console.status(f"uploading to {name}") if console.is_terminal else nothing():
        try:
            url = upload(place, name, private)
        except ValueError:
            typer.echo(f"it is ready; once that is mended, upload it with: {later}", err=True)
            raise
    typer.echo(f"uploaded to {url}")
