"""What the commands share: their common options, errors in one line, and a run from start to table."""

from __future__ import annotations

import functools
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from whet.launch import Order

STOPPED = 130  # the exit code of a program that Ctrl-C ended
WRONG = 2  # of one that was asked for something that can not be

Function = TypeVar("Function", bound=Callable[..., Any])

RecipeName = Annotated[str, typer.Argument(help="A recipe's name (`whet list`), or your own .py file.")]
ModelInstead = Annotated[
    str, typer.Option("--model", help="Put this model in: a folder or hub name, with the recipe's at_scale.")
]
Seed = Annotated[int, typer.Option(help="All draws of a run come from it.")]
Settings = Annotated[
    list[str], typer.Option("--set", metavar="PATH=VALUE", help="Set one field of the tree; may be given many times.")
]
OnMachine = Annotated[
    str,
    typer.Option("--machine", help="Hardware profile, cpu or cuda, and fields of it: cpu,checkpointing=true,rows=64."),
]
WithLora = Annotated[
    int, typer.Option("--lora", min=0, metavar="RANK", help="Train an adapter of this rank; 0: all weights.")
]
Out = Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Run folder; must not exist or be empty.")]
Arm = Annotated[str, typer.Option("--arm", help="Only this arm of the recipe.")]
Prompt = Annotated[
    str, typer.Option("--prompt", metavar="COLUMN", help="Column of questions, a.b for b in a; else found by name.")
]
Answer = Annotated[
    str | None,
    typer.Option("--answer", metavar="COLUMN", help="Column of answers, '' if there is none; else found by name."),
]
Plain = Annotated[bool, typer.Option("--plain", help="Questions are texts to go on from, not chat messages.")]
Reward = Annotated[
    str,
    typer.Option(
        "--reward",
        help="exact, numeric, math, choice, gsm8k, format, ..., or file.py:function with "
        "f(prompts, completions, **columns) -> list[float].",
    ),
]
Track = Annotated[
    list[str],
    typer.Option(
        "--track", metavar="NAME", help="Mirror the log: tensorboard, wandb, wandb:online, trackio; may be given again."
    ),
]
NoDoctor = Annotated[
    bool, typer.Option("--no-doctor", help="Begin at once, without the look at the run that `whet doctor` takes.")
]
System = Annotated[str, typer.Option("--system", help="System message before every question.")]


def clear_errors(command: Function) -> Function:
    """Whatever a user can cause ends in one line on stderr; WHET_DEBUG=1 shows where it came from."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except (ValueError, OSError, ImportError) as error:
            if os.environ.get("WHET_DEBUG"):
                raise
            fail(error)
        except KeyboardInterrupt:
            typer.echo("stopped", err=True)
            raise typer.Exit(STOPPED) from None

    return wrapped  # type: ignore[return-value]


def fail(error: Exception) -> None:
    said = str(error)
    if isinstance(error, OSError) and error.strerror:  # without its number
        said = f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)
    typer.secho(f"error: {said or type(error).__name__}", fg=typer.colors.RED, err=True)
    raise typer.Exit(WRONG) from None


def go(
    order: Order,
    arms: Sequence[str],
    out: Path | None,
    console: Console,
    track: Sequence[str] = (),
    doctor: bool = True,
) -> None:
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
    trackers(track)
    for number, (arm, folder) in enumerate(folders.items()):
        if len(arms) > 1:
            typer.echo(f"arm {arm} ({number + 1} of {len(arms)})", err=True)
        with saved(folder, arms[number + 1 :]), stoppable(screen), mirrored(screen, folder, track) as shown:
            start(replace(order, arm=arm), folder, shown, doctor)
        show_results(output(), folder)


def trackers(track: Sequence[str]) -> None:
    """ValueError or ImportError for a tracker that is not there, before any work."""
    from whet.trackers.mirror import named

    for word in track:
        named(word)


@contextmanager
def mirrored(screen: Any, folder: Path, track: Sequence[str]) -> Iterator[Any]:
    """A screen that also feeds the trackers of one run, which are closed at the end."""
    from whet.trackers.mirror import Mirrored

    if not track:
        yield screen
        return
    shown = Mirrored(screen, folder, track)
    try:
        yield shown
    finally:
        shown.finish()


@contextmanager
def saved(folder: Path, further: Sequence[str]) -> Iterator[None]:
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
def stoppable(screen: Any) -> Iterator[None]:
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
def progress() -> Iterator[Console]:
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
def nothing() -> Iterator[None]:
    yield


def output() -> Console:
    """For results, on stdout; wide enough for a table where the width is not known."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=120)


def estimate_rows(metrics: Mapping[str, Mapping[str, float]]) -> list[tuple[str, str, str]]:
    from whet.report import rows

    table = []
    for name, cell, *_ in rows({"before": metrics}):
        value, bracket, ends = cell.partition(" [")
        table.append((name, value, bracket.strip() + ends))
    return table
