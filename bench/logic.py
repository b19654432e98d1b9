"""The families of logic puzzles, with their knobs and how far always saying the same gets one, into their page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

PAGE = Path("docs/logic.md")
COMMAND = "python -m bench.logic"

_HELP = """Put the families of `whet.tasks.logic` into docs/logic.md, in about a minute:

    python -m bench.logic

A family, or several, printed and not stored:

    python -m bench.logic --only boolean --problems 50
"""
HEAD = ("family", "levels", "easiest", "hardest", "always the same", "a question and its answer")
app = typer.Typer(add_completion=False, rich_markup_mode=None)


def line(name: str, problems: int) -> list[str]:
    """A row: majority baselines are those of the easiest level and of the hardest."""
    from whet.metrics.majority import majority
    from whet.rewards.text import tagged
    from whet.tasks.logic import FAMILIES, OWN, Logic
    from whet.verifiers.logic import verify

    ladder, own = FAMILIES[name].ladder, name in OWN
    ends = [Logic(name, 0), Logic(name, len(ladder) - 1)]
    shares = [majority(task, verify, problems)[1] for task in ends]
    first = ends[0].problem("train", 0)
    asked = f"`{_code(first.prompt[0]['content'])}` `{_code(tagged(first.info['solution']) or '')}`"  # type: ignore
    return [
        f"`{name}`",
        f"0 to {len(ladder) - 1}",
        _knobs(ladder[0]),
        _knobs(ladder[-1]),
        " to ".join(dict.fromkeys(f"{100 * share:.0f} %" for share in shares)),
        asked if own else f"`gym:{FAMILIES[name].gym}`",
    ]


def _code(text: str) -> str:
    return text.replace("|", "\\|").replace("`", "'")


def _knobs(knobs: Any) -> str:
    return ", ".join(f"{key} {_span(value)}" for key, value in knobs.items())


def _span(value: Any) -> str:
    return f"{value[0]} to {value[1]}" if isinstance(value, tuple) else str(value)


@app.command(help=_HELP)
def main(
    problems: Annotated[int, typer.Option(min=2, help="Problems of each split of an own family.")] = 500,
    only: Annotated[list[str] | None, typer.Option(help="Only this family.")] = None,
) -> None:
    from bench.table import refresh, table
    from whet.tasks.logic import FAMILIES, OWN

    lines = [line(name, problems if name in OWN else min(problems, 20)) for name in only or FAMILIES]
    text = f"{problems} problems of each split of an own family, 20 of the others.\n\n{table(HEAD, lines)}"
    typer.echo(text)
    if not only:
        refresh(PAGE, COMMAND, text)


if __name__ == "__main__":
    app()
