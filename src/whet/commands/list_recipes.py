"""`whet list`."""

from __future__ import annotations

import typer

from whet.commands.shared import clear_errors


@clear_errors
def list_recipes() -> None:
    """List the recipes.

    \b
    Example:
      whet list
    """
    from whet.launch import Order, find, slugs
    from whet.reproduce import summary

    for slug in slugs():
        recipe = find(Order(slug))
        typer.echo(f"{slug:24}{summary(Order(slug))}")
        typer.echo(f"{'':24}arms: {', '.join(recipe.arms)}")
        if recipe.paper is not None:
            typer.echo(f"{'':24}{recipe.paper.name}: {recipe.paper.claim}")
