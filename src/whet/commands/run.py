"""`whet run`."""

from __future__ import annotations

from whet.commands.shared import (
    Arm,
    ModelInstead,
    NoDoctor,
    OnMachine,
    Out,
    RecipeName,
    Seed,
    Settings,
    Track,
    WithLora,
    clear_errors,
    go,
    progress,
)


@clear_errors
def run_recipe(
    recipe: RecipeName,
    arm: Arm = "",
    seed: Seed = 0,
    model: ModelInstead = "",
    lora: WithLora = 0,
    machine: OnMachine = "cpu",
    out: Out = None,
    settings: Settings = [],  # noqa: B006 (typer copies it)
    track: Track = [],  # noqa: B006
    no_doctor: NoDoctor = False,
) -> None:
    """Run a recipe: evaluate, train, evaluate again, export the model.

    Without --arm all arms run, one after another; --out is then the folder that theirs are in. Values of --set are
    JSON; `whet show RECIPE` lists the paths. The first Ctrl-C finishes the step and saves; `whet resume` goes on.

    \b
    Examples:
      whet run quickstart --seed 7
      whet run quickstart --model ./my-model --lora 16 --set model.kind=dora --set train.policy.lr=1e-5
      whet run quickstart --set train.policy.lr=3e-4 --set steps=20 --out runs/short
      whet run quickstart --track tensorboard
    """
    from whet.launch import Order, find

    order = Order(recipe, arm, seed, model, machine, tuple(settings), lora=lora)
    arms = [arm] if arm else list(find(order).arms)
    with progress() as console:
        go(order, arms, out, console, track, not no_doctor)
