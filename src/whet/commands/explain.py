"""`whet explain`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
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
    nothing,
    output,
    progress,
)


@clear_errors
def explain(
    recipe: RecipeName,
    arm: Arm = "",
    seed: Seed = 0,
    model: ModelInstead = "",
    lora: WithLora = 0,
    machine: OnMachine = "cpu",
    settings: Settings = [],  # noqa: B006 (typer copies it)
    price: Annotated[float, typer.Option(min=0, help="Of an hour of this machine, for the cost.")] = 0.0,
    every: Annotated[bool, typer.Option("--settings", help="Show every setting with where it comes from.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, to stdout.")] = False,
) -> None:
    """Say in numbers what a run will do: attempts, mini-batches and updates, tokens, memory, time and cost.

    Time is measured with a few rehearsed steps; memory comes from the model's shapes. A setting that is known to have
    no effect is an error.

    \b
    Examples:
      whet explain quickstart
      whet explain quickstart --set train.policy.minibatches=4 --settings
      whet explain quickstart --machine cpu,engine=reference --price 0.2
    """
    from whet.explaining import explained
    from whet.launch import Order, find
    from whet.screen import screen_for, show_table

    order = Order(recipe, arm, seed, model, machine, tuple(settings), lora=lora)
    arms = [arm] if arm else list(find(order).arms)
    order = Order(recipe, arms[0], seed, model, machine, tuple(settings), lora=lora)
    with progress() as console, console.status("rehearsing") if console.is_terminal else nothing():
        told = explained(order, price, screen_for(console))
    if as_json:
        typer.echo(json.dumps(told, indent=2, ensure_ascii=False))
        return
    typer.echo(f"{told['recipe']}, arm {told['arm']}, {told['model']['parameters']:,} parameters")
    if len(arms) > 1:
        typer.echo(f"others with --arm: {', '.join(arms[1:])}")
    for stage in told["stages"]:
        title = " ".join([stage["is"], stage.get("name", "")]).strip()
        show_table(output(), (title, ""), list(_rows(stage)))
        for word in stage.get("valid", ()):
            typer.echo(f"note: {word}")
        if every and stage.get("settings"):
            table = [(one["path"], _value(one["value"]), one["from"]) for one in stage["settings"]]
            show_table(output(), ("setting", "value", "from"), table)
    typer.echo(f"in all: {_time(told['seconds'])}" + (f", {told['cost']:.2f} at {price:g} an hour" if price else ""))
    for note in told["notes"]:
        typer.echo(f"note: {note}")


def _rows(stage: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    seconds = stage.get("seconds")
    if "problems" in stage:
        tokens, memory = stage["tokens"], stage["memory"]
        yield "problems x group = attempts", f"{stage['problems']} x {stage['group']} = {stage['attempts']}"
        for name, train in stage["train"].items():
            sizes = ", ".join(str(size) for size in dict.fromkeys(train["minibatches"]))
            yield (
                f"mini-batches of {name}",
                f"{len(train['minibatches'])} of {sizes} groups, {train['epochs']} times over",
            )
            yield "optimizer steps: a step, in all", f"{train['updates']:,}, {train['updates_in_all']:,}"
        yield "tokens of a prompt, of an attempt", f"{tokens['prompt']:.0f}, about {tokens['attempt_expected']:.0f}"
        yield "tokens of a step", f"about {tokens['step_expected']:,.0f}, at most {tokens['step_at_most']:,}"
        yield "tokens of a micro-batch", f"{memory.get('micro_tokens', 0):,}"
        total, most, there = (memory.get(name, 0) / 2**20 for name in ("total", "at_most", "there"))
        yield "memory", f"{total:,.0f} MiB, at most {most:,.0f}, of {there:,.0f}"
        yield "steps", f"{stage['steps']:,}"
    else:
        for name in ("steps", "attempts", "tokens"):
            if name in stage:
                yield name, f"{stage[name]:,.0f}"
    if seconds and "play" in seconds:
        yield "seconds of a step: play, learn", f"{seconds['play']:.3g}, {seconds['learn']:.3g}"
        yield "seconds of a step of longest attempts", f"{seconds['step_at_most']:.3g}"
    if seconds:
        yield "in all", _time(seconds["stage"])


def _time(seconds: float | None) -> str:
    from whet.screen import clock

    return "not known" if seconds is None else f"about {clock(seconds)}"


def _value(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)[:60]
