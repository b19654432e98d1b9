"""The command line: `whet run`, `whet train`, `whet eval`, ... One file per command in `commands/`; these, with
`screen`, are the only place that prints.

Torch takes seconds to import, so whatever needs it is imported inside the command that does.
"""

from __future__ import annotations

from importlib.metadata import version as installed
from typing import Annotated

import typer

from whet.commands import (
    audit,
    compare,
    doctor,
    evaluate,
    explain,
    list_recipes,
    play,
    push,
    replay,
    report,
    reproduce,
    resume,
    run,
    sandbox,
    show,
    track,
    train,
    version,
    view,
)

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


def main() -> None:
    """The entry point."""
    app()


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


# In the order of the help.
app.command("run")(run.run_recipe)
app.command("train")(train.train)
app.command("eval")(evaluate.evaluate_model)
app.command("compare")(compare.compare)
app.command("replay")(replay.replay)
app.command("play")(play.play)
app.command("doctor")(doctor.doctor)
app.command("explain")(explain.explain)
app.command("resume")(resume.resume)
app.command("reproduce")(reproduce.reproduce)
app.command("push")(push.push)
app.command("report")(report.report)
app.command("audit")(audit.audit)
app.command("sandbox")(sandbox.sandbox)
app.command("view")(view.view)
app.command("track")(track.track_run)
app.command("list")(list_recipes.list_recipes)
app.command("show")(show.show)
app.command("version")(version.version)
