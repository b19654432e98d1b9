"""`whet version`."""

from __future__ import annotations

from importlib.metadata import version as installed

import typer


def version() -> None:
    """Print the version.

    \b
    Example:
      whet version
    """
    typer.echo(f"whet {installed('whet')}")
