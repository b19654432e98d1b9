"""The command line: `whet run`, `whet train`, `whet eval`, ... The only place, with `screen`, that prints.

Torch takes seconds to import, so whatever needs it is imported inside the command that does.
"""

from __future__ import annotations

import functools
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from whet.launch import Order

STOPPED = 130  # the exit code of a program that Ctrl-C ended
WRONG = 2  # of one that was asked for something that can not be

Function = TypeVar("Function", bound=Callable[..., Any])

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)

Seed = Annotated[int, typer.Option(help="All draws of a run come from it.")]
Settings = Annotated[
    list[str], typer.Option("--set", metavar="PATH=VALUE", help="Set one field of the tree; may be given many times.")
]
OnMachine = Annotated[str, typer.Option("--machine", help="Hardware profile: cpu or cuda.")]
Out = Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Run folder; must not exist or be empty.")]
Arm = Annotated[str, typer.Option("--arm", help="Only this arm of the recipe.")]
Prompt = Annotated[str, typer.Option("--prompt", metavar="COLUMN", help="Column of questions.")]
Answer = Annotated[str, typer.Option("--answer", metavar="COLUMN", help="Column of answers; '' if there is none.")]
Reward = Annotated[
    str,
    typer.Option(
        "--reward",
        help="exact, numeric, math, choice, gsm8k, format, ..., or file.py:function with "
        "f(prompts, completions, **columns) -> list[float].",
    ),
]
System = Annotated[str, typer.Option("--system", help="System message before every question.")]


def main() -> None:
    """The entry point."""
    app()


def clear_errors(command: Function) -> Function:
    """Whatever a user can cause ends in one line on stderr; WHET_DEBUG=1 shows where it came from."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except (ValueError, OSError, ImportError) as error:
            if os.environ.get("WHET_DEBUG"):
                raise
            _fail(error)
        except KeyboardInterrupt:
            typer.echo("stopped", err=True)
            raise typer.Exit(STOPPED) from None

    return wrapped  # type: ignore[return-value]


def _fail(error: Exception) -> None:
    said = str(error)
    if isinstance(error, OSError) and error.strerror:  # without its number
        said = f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)
    typer.secho(f"error: {said or type(error).__name__}", fg=typer.colors.RED, err=True)
    raise typer.Exit(WRONG) from None


@app.callback(invoke_without_command=True)
def whet(show: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False) -> None:
    """Train language models by reinforcement learning on rewards that can be verified.

    \b
    Example:
      whet run quickstart
    """
    if show:
        typer.echo(f"whet {installed('whet')}")
        raise typer.Exit


@app.command("run")
@clear_errors
def run_recipe(
    recipe: Annotated[str, typer.Argument(help="A recipe's name (`whet list`), or your own .py file.")],
    arm: Arm = "",
    seed: Seed = 0,
    model: Annotated[
        str, typer.Option(help="Put this model in: a folder or hub name, with the recipe's at_scale.")
    ] = "",
    machine: OnMachine = "cpu",
    out: Out = None,
    settings: Settings = [],  # noqa: B006 (typer copies it)
) -> None:
    """Run a recipe: evaluate, train, evaluate again, export the model.

    Without --arm all arms run, one after another; --out is then the folder that theirs are in. Values of --set are
    JSON; `whet show RECIPE` lists the paths. The first Ctrl-C finishes the step and saves; `whet resume` goes on.

    \b
    Examples:
      whet run quickstart --seed 7
      whet run quickstart --set train.policy.lr=3e-4 --set steps=20 --out runs/short
    """
    from whet.launch import Order, find

    order = Order(recipe, arm, seed, model, machine, tuple(settings))
    arms = [arm] if arm else list(find(order).arms)
    with _told() as console:
        _run(order, arms, out, console)


@app.command()
@clear_errors
def train(
    model: Annotated[str, typer.Option(help="A folder, a hub name, or 'tiny': a small random one made for the data.")],
    data: Annotated[str, typer.Option(help="A .jsonl, .json, .csv or .parquet file, a folder, or a hub data set.")],
    prompt: Prompt = "question",
    answer: Answer = "answer",
    reward: Reward = "exact",
    test: Annotated[str, typer.Option(help="Held-out data; without it a tenth of the rows is held out.")] = "",
    system: System = "",
    steps: Annotated[int, typer.Option(min=1, help="Steps of reinforcement learning.")] = 100,
    group: Annotated[int, typer.Option(min=1, help="Attempts at each problem.")] = 8,
    problems: Annotated[int, typer.Option(min=1, help="Problems in each step.")] = 16,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest attempt, in tokens.")] = 256,
    temperature: Annotated[float, typer.Option(min=0.01, help="Of sampling.")] = 1.0,
    lr: Annotated[float, typer.Option(min=0.0, help="Learning rate; 0: 1e-4 for tiny, 1e-6 for others.")] = 0.0,
    sft_steps: Annotated[
        int, typer.Option(min=-1, help="Supervised steps before, on worked solutions; -1: 200 for tiny, 0 for others.")
    ] = -1,
    samples: Annotated[int, typer.Option(min=1, help="Attempts per problem in the evaluations.")] = 8,
    test_problems: Annotated[int, typer.Option(min=2, help="Problems in the evaluations.")] = 100,
    reward_deadline: Annotated[float, typer.Option(min=0.1, help="Seconds that a function of yours may take.")] = 60.0,
    seed: Seed = 0,
    machine: OnMachine = "cpu",
    out: Out = None,
    settings: Settings = [],  # noqa: B006
) -> None:
    """Train a model on your own problems by GRPO, no Python needed.

    A reward is one of Whet's by name, which compares with the answer column, or a function of yours that returns one
    number per completion; an attempt counts as right where it is 1 or more.

    \b
    Examples:
      whet train --model tiny --data train.jsonl --prompt question --answer answer --reward gsm8k
      whet train --model ./my-model --data train.jsonl --reward my_reward.py:score --steps 50
    """
    from whet.launch import Order
    from whet.own import settled

    own = settled(
        {
            **{"model": model, "data": data, "prompt": prompt, "answer": answer, "reward": reward, "test": test},
            **{"system": system, "steps": steps, "group": group, "problems": problems, "max_tokens": max_tokens},
            **{"temperature": temperature, "lr": lr, "sft_steps": sft_steps, "samples": samples},
            **{"test_problems": test_problems, "reward_deadline": reward_deadline},
        }
    )
    name = "".join(c if c.isalnum() else "-" for c in Path(data).stem).strip("-") or "data"
    order = Order(f"train-{name}", "train", seed, "", machine, tuple(settings), own)
    with _told() as console:
        _run(order, ["train"], out, console)


@app.command("eval")
@clear_errors
def evaluate_model(
    model: Annotated[str, typer.Argument(help="A folder in Hugging Face format, or a name on the hub.")],
    task: Annotated[
        str, typer.Option(help="chain-sum, countdown, knights-knaves, string-functions, gym:NAME, or a file.")
    ],
    samples: Annotated[int, typer.Option(min=1, help="Attempts at each problem: pass@k for k up to it.")] = 8,
    problems: Annotated[int, typer.Option(min=2, help="How many problems, from the first.")] = 200,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest attempt, in tokens.")] = 256,
    temperature: Annotated[float, typer.Option(min=0.0, help="Of sampling; 0 is greedy.")] = 1.0,
    prompt: Prompt = "",
    answer: Answer = "",
    reward: Annotated[str, typer.Option(help="Who judges; found from task or file if not given (see train).")] = "",
    system: System = "",
    seed: Seed = 0,
    machine: OnMachine = "cpu",
    settings: Settings = [],  # noqa: B006
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, to stdout.")] = False,
) -> None:
    """Measure a model: pass@k with 95 % intervals, on a shipped task or on a file of problems and answers.

    Columns of files in the style of GSM8K, MATH and AIME are found by their names. --set changes fields of the task.

    \b
    Examples:
      whet eval runs/quickstart/grpo-seed0/model --task chain-sum --set 'terms=[4,5]' --set operators=+
      whet eval ./my-model --task aime.jsonl --samples 16 --max-tokens 4096 --json
      whet eval ./my-model --task chain-sum --set terms=4 --set largest=20
    """
    from whet.evaluating import asked, evaluate
    from whet.launch import Order
    from whet.launch import machine as profile
    from whet.screen import show_attempts, show_table

    with _told() as console:
        what = asked(task, settings, prompt, answer, reward, system)
        with console.status(f"evaluating {model} on {task}") if console.is_terminal else _nothing():
            found = evaluate(
                model, what, samples, problems, max_tokens, temperature, seed, profile(Order("", machine=machine))
            )
    if as_json:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    results = _console()
    show_table(results, ("metric", "value", "95 % interval"), _estimates(found["metrics"]))
    told = ", ".join(f"{word} {count}" for word, count in found["outcomes"].items())
    typer.echo(f"{found['problems']} problems, {samples} attempts at each, seed {seed}" + (f"; {told}" if told else ""))
    show_attempts(results, found["examples"])


@app.command()
@clear_errors
def resume(run: Annotated[Path, typer.Argument(help="The folder of a run that was stopped.")]) -> None:
    """Go on with a run that was stopped; what comes out is what would have come out.

    \b
    Example:
      whet resume runs/quickstart/grpo-seed0
    """
    from whet.launch import resume as go_on
    from whet.screen import screen_for, show_results

    with _told() as console:
        screen = screen_for(console)
        with _saved(run, []), _stoppable(screen):
            go_on(run, screen)
        show_results(_console(), run)


@app.command("list")
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
        typer.echo(f"{slug:24}{_first_line(sys.modules[module].__doc__)}")
        typer.echo(f"{'':24}arms: {', '.join(recipe.arms)}")
        if recipe.paper is not None:
            typer.echo(f"{'':24}{recipe.paper.name}: {recipe.paper.claim}")


@app.command()
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


@app.command()
def version() -> None:
    """Print the version.

    \b
    Example:
      whet version
    """
    typer.echo(f"whet {installed('whet')}")


def _run(order: Order, arms: Sequence[str], out: Path | None, console: Console) -> None:
    """Start the arms, one after another, each in a folder of its own, and show what came out."""
    from dataclasses import replace

    from whet.files import new_run_folder
    from whet.launch import free_folder, start
    from whet.screen import screen_for, show_results

    parent = Path("runs") / Path(order.recipe).stem
    folders = {arm: free_folder(parent / f"{arm}-seed{order.seed}") for arm in arms}
    if out is not None:
        folders = {arm: out / arm for arm in arms} if len(arms) > 1 else {arms[0]: out}
    for folder in folders.values():
        if folder.exists():
            new_run_folder(folder)  # refuses one with something in it, before the first arm starts
    screen = screen_for(console)
    for number, (arm, folder) in enumerate(folders.items()):
        if len(arms) > 1:
            typer.echo(f"arm {arm} ({number + 1} of {len(arms)})", err=True)
        with _saved(folder, arms[number + 1 :]), _stoppable(screen):
            start(replace(order, arm=arm), folder, screen)
        show_results(_console(), folder)


@contextmanager
def _saved(folder: Path, further: Sequence[str]) -> Iterator[None]:
    """Say how to go on where a run ends early, by Ctrl-C or by an error."""
    from whet.run import Interrupted

    try:
        yield
    except Interrupted:
        typer.echo(f"stopped, and saved; go on with: whet resume {folder}", err=True)
        if further:
            typer.echo(f"not started: arm {', '.join(further)}", err=True)
        raise typer.Exit(STOPPED) from None
    except (ValueError, OSError):
        if (folder / "metrics.jsonl").exists():
            typer.echo(f"what was done is kept; once it is mended, go on with: whet resume {folder}", err=True)
        raise


@contextmanager
def _stoppable(screen: Any) -> Iterator[None]:
    """The first Ctrl-C asks the run to finish its step and save; the second ends the process at once."""
    from whet.run import INTERRUPT

    def handle(number: int, frame: Any) -> None:
        if INTERRUPT.is_set():
            os.write(2, b"\n\x1b[?25h" if os.isatty(2) else b"\n")  # the cursor, which a bar hides
            os._exit(STOPPED)
        INTERRUPT.set()
        os.write(2, b"\nfinishing this step and saving; Ctrl-C again stops at once\n")

    main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, handle) if main else None
    try:
        yield
    finally:
        screen.end()
        if main:
            signal.signal(signal.SIGINT, before)
        INTERRUPT.clear()


@contextmanager
def _told() -> Iterator[Console]:
    """The console for progress, on stderr; Python's warnings come there too, as one line each."""
    import warnings

    from rich.console import Console

    console = Console(stderr=True)
    usual = warnings.showwarning

    def show_warning(message: Any, *_: Any, **__: Any) -> None:
        console.print(f"warning: {message}", style="yellow", markup=False, highlight=False, soft_wrap=True)

    warnings.showwarning = show_warning
    try:
        yield console
    finally:
        warnings.showwarning = usual


@contextmanager
def _nothing() -> Iterator[None]:
    yield


def _console() -> Console:
    """For results, on stdout; wide enough for a table where the width is not known."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=120)


def _estimates(metrics: Mapping[str, Mapping[str, float]]) -> list[tuple[str, str, str]]:
    from whet.report import rows

    table = []
    for name, cell, *_ in rows({"before": metrics}):
        value, bracket, ends = cell.partition(" [")
        table.append((name, value, bracket.strip() + ends))
    return table


def _first_line(text: str | None) -> str:
    return (text or "").strip().split("\n\n")[0].replace("\n", " ")
