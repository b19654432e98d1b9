"""`whet doctor`."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from whet.commands.shared import (
    Arm,
    ModelInstead,
    OnMachine,
    RecipeName,
    Seed,
    Settings,
    WithLora,
    clear_errors,
    progress,
)

FOUND = 1  # the exit code where something is wrong


@clear_errors
def doctor(
    recipe: RecipeName,
    arm: Arm = "",
    seed: Seed = 0,
    model: ModelInstead = "",
    lora: WithLora = 0,
    machine: OnMachine = "cpu",
    settings: Settings = [],  # noqa: B006 (typer copies it)
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, to stdout.")] = False,
) -> None:
    """Look for what would make a run be in vain, before its step 0: tokenizer and template, the engine against the
    learner, masks, rewards and gold answers, limits, memory and disk.

    Each finding says what should hold, what was found, and what to do. `whet run` and `whet train` take the same look
    in their first seconds; here two real steps are taken as well, with copies of the models, to see whether they read
    what --set has set. The exit code is 1 where there is an error.

    \b
    Examples:
      whet doctor quickstart
      whet doctor my_recipe.py --model ./my-model --set train.policy.lr=1e-6
    """
    from dataclasses import asdict

    from whet.launch import Order, find

    order = Order(recipe, arm, seed, model, machine, tuple(settings), lora=lora)
    arms = [arm] if arm else list(find(order).arms)
    told: dict[str, list[dict[str, Any]]] = {}
    with progress() as console:
        for name in arms:
            found = _examined(order, name, console)
            told[name] = [asdict(finding) for finding in found]
            if not as_json:
                typer.echo(f"{name}: " + (_counted(told[name]) if found else "nothing found"))
                for finding in found:
                    color = typer.colors.RED if finding.level == "error" else typer.colors.YELLOW
                    typer.secho(f"  {finding.level}: {finding.line()}", fg=color)
    if as_json:
        typer.echo(json.dumps(told, indent=2, ensure_ascii=False))
    if any(finding["level"] == "error" for found in told.values() for finding in found):
        raise typer.Exit(FOUND)


def _counted(found: list[dict[str, Any]]) -> str:
    counts = {level: sum(one["level"] == level for one in found) for level in ("error", "warning")}
    return ", ".join(f"{count} {level}{'s' * (count > 1)}" for level, count in counts.items() if count)


def _examined(order: Any, arm: str, console: Any) -> list[Any]:
    """The findings of one arm, errors first."""
    import tempfile
    from pathlib import Path

    from whet.doctor.examine import examine
    from whet.doctor.finding import errors
    from whet.doctor.unread import unread
    from whet.launch import find
    from whet.launch import machine as profile
    from whet.recipe import prepare
    from whet.screen import screen_for

    recipe, screen = find(order), screen_for(console)
    with tempfile.TemporaryDirectory(prefix="whet-doctor-") as folder:
        run = prepare(recipe, arm, order.seed, Path(folder), profile(order), screen)
        screen.end()
        run.check()
        found = examine(run, thorough=True)
        return found if errors(found) else [*found, *unread(run, recipe.arms, arm, order.settings)]
