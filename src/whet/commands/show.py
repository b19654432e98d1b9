"""`whet show`."""

from __future__ import annotations

from typing import Annotated

import typer

from whet.commands.shared import Arm, Settings, clear_errors


@clear_errors
def show(
    recipe: Annotated[str, typer.Argument(help="A recipe's name, or your own .py file.")],
    arm: Arm = "",
    diff: Annotated[tuple[str, str] | None, typer.Option(metavar="ARM ARM", help="Only what differs.")] = None,
    settings: Settings = [],  # noqa: B006
) -> None:
    """Show a recipe's tree: every path, and what stands there; those with a value can be given to --set.

    \b
    Examples:
      whet show quickstart
      whet show quickstart --arm grpo --set steps=20
      whet show quickstart --diff grpo grpo
    """
    from whet.launch import Order, find
    from whet.outline import differences, outline

    found = find(Order(recipe, settings=tuple(settings)))
    for name in [*(diff or ()), *([arm] if arm else [])]:
        if name not in found.arms:
            raise ValueError(f"there is no arm {name!r}; the recipe has {', '.join(found.arms)}")
    for line in differences(found, *diff) if diff else outline(found, [arm] if arm else list(found.arms)):
        typer.echo(line)
