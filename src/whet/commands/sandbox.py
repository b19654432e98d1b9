"""`whet sandbox`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from whet.commands.shared import clear_errors


@clear_errors
def sandbox(
    file: Annotated[Path, typer.Argument(help="A program's source.")],
    language: Annotated[
        str, typer.Option(help="Its language, or a .toml file that describes one; else by the file's ending.")
    ] = "",
    stdin: Annotated[Path | None, typer.Option(help="A file with what it reads; - is what this command reads.")] = None,
    seconds: Annotated[float, typer.Option(help="Wall clock, and CPU time of each process.")] = 5.0,
    memory: Annotated[int, typer.Option(help="MiB of all its processes and files together.")] = 512,
    processes: Annotated[int, typer.Option(help="Processes and threads at a time.")] = 32,
) -> None:
    """Run one file in the sandbox and print what came of it as JSON.

    It has no network, no files but its own, and no more time, memory, processes and output than it may have. The exit
    code is 0 if the program's was, else 1. Needs bubblewrap; without it nothing is run.

    \b
    Examples:
      whet sandbox answer.py
      whet sandbox answer.lua --stdin input.txt --seconds 2
      echo 5 | whet sandbox answer.txt --language python --stdin -
    """
    from whet.sandbox.language import language as of_name
    from whet.sandbox.language import of_file
    from whet.sandbox.limits import MIB, Limits
    from whet.sandbox.pool import Sandbox, chosen

    for path in (file, *([stdin] if stdin and str(stdin) != "-" else [])):
        if not path.is_file():
            raise ValueError(f"there is no file {str(path)!r}")
    kind = of_name(language) if language else of_file(file)
    text = "" if stdin is None else sys.stdin.read() if str(stdin) == "-" else stdin.read_text("utf-8", "replace")
    limits = Limits(seconds=seconds, memory=memory * MIB, processes=processes)
    place = Sandbox(1, chosen())
    try:
        ran = place.run_now(kind.program(file.read_text("utf-8", "replace")), [text], limits)
    finally:
        place.close()
    stage, result = ("run", ran.results[0]) if ran.results else ("build", ran.built)
    assert result is not None
    typer.echo(json.dumps({"language": kind.name, "stage": stage, **result._asdict()}, indent=2))
    raise typer.Exit(0 if result.outcome == "ok" else 1)
