"""`whet report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from whet.commands.shared import clear_errors, output


@clear_errors
def report(
    results: Annotated[Path, typer.Argument(help="Where `whet reproduce` wrote.")] = Path("results"),
    docs: Annotated[Path | None, typer.Option(metavar="FILE.md", help="Write the whole page there.")] = None,
) -> None:
    """Show what every reproduced recipe came to, or write it as a page.

    \b
    Examples:
      whet report
      whet report --docs docs/catalogue.md
    """
    from whet.catalogue import HEADER, page, read_all, rows
    from whet.files import write_text
    from whet.reproduce import waiting
    from whet.screen import show_table

    every = read_all(results)
    if not every:
        raise ValueError(f"there is no result in {results}; make one with `whet reproduce RECIPE`, or name its folder")
    show_table(output(), HEADER, rows(every))
    if docs is not None:
        write_text(docs, page(every, waiting(results)))
        typer.echo(f"written: {docs}")
