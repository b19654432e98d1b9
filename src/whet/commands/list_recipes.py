"""`whet list`."""

from __future__ import annotations

import sys

import typer

from whet.commands.shared import clear_errors, first_line


@clear_errors
def list_recipes() -> None:
    """List the recipes.

    \b
    Example:
      whet list
    """
    from whet.launch import Order, find, slugs

    for slug, module in slugs().items():
        recipe = find(Order(slug))
        typer.echo(f"{slug:24}{first_line(sys.modules[module].__doc__)}")
        typer.echo(f"{'':24}arms: {', '.join(recipe.arms)}")
        if recipe.paper is not None:
            typer.echo(f"{'':24}{recipe.paper.name}: {recipe.paper.claim}")
