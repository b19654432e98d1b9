"""`whet view`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from whet.commands.shared import clear_errors

_NEEDED = ("starlette", "jinja2", "uvicorn", "duckdb")


@clear_errors
def view(
    runs: Annotated[
        list[Path] | None, typer.Argument(help="Run folders, or folders of runs.", show_default="runs")
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="On this machine; 0: a free one.")] = 0,
    results: Annotated[Path, typer.Option(help="Where `whet reproduce` wrote its verdicts.")] = Path("results"),
    export: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Write one page as a file that needs nothing else.")
    ] = None,
    page: Annotated[
        str, typer.Option(metavar="ADDRESS", help="With --export: which, as the browser shows it (/tokens?run=...).")
    ] = "",
) -> None:
    """Look at runs on a local web page: curves, rollouts, tokens. Nothing leaves this machine.

    It follows runs that are still going. Only this machine can open the page, with the token in its address.

    \b
    Examples:
      whet view
      whet view runs/quickstart --port 8080
      whet view runs/quickstart/grpo-seed0 --export run.html
      whet view --export tokens.html --page '/tokens?run=quickstart/grpo-seed0&stage=0&step=49&slot=0&group=direct'
    """
    from importlib.util import find_spec

    if missing := [name for name in _NEEDED if find_spec(name) is None]:
        raise ImportError(f"whet view needs {', '.join(missing)}: pip install 'whet[view]'")
    from whet.view.app import file_of, serve
    from whet.view.folders import Missing
    from whet.view.render import to
    from whet.view.site import Site

    roots = runs or [Path("runs")]
    for root in roots:
        if not root.is_dir() and (runs or export):
            raise ValueError(f"there is no folder {root}: name a run's folder, or one with runs in it")
    known = results if results.is_dir() else None
    if page and export is None:
        raise ValueError("--page names the page that --export FILE.html writes: give both")
    if export is None:
        served = serve(roots, known, port)
        typer.echo(f"{served.address}\nCtrl-C ends it.")
        served.run()
        return
    from whet.files import write_bytes

    if export.suffix not in (".html", ".htm"):
        raise ValueError(f"--export writes a .html file, got {export}")
    site = Site(roots, known)
    try:
        names = list(site.runs.all())
        address = page.partition("#")[0] or (to("/run", run=names[0]) if len(names) == 1 else "/")
        if "://" in address:
            address = "/" + address.split("/", 3)[3]
        write_bytes(export, file_of(site, address).encode("utf-8", "replace"))
    except Missing as error:
        raise ValueError(f"{error}; copy the address of --page from the browser") from error
    finally:
        site.close()
    typer.echo(f"written: {export}")
