"""`whet play`."""

from __future__ import annotations

import asyncio
import math
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from whet.commands.shared import Arm, Settings, clear_errors, output, progress

if TYPE_CHECKING:
    from rich.console import Console

    from whet.types import Problem, Scored, Trajectory

HELP = "An answer ends with an empty line or Ctrl-D. /answer shows the right one, /skip leaves a problem, /quit ends."


@clear_errors
def play(
    task: Annotated[
        str,
        typer.Argument(
            help="chain-sum, countdown, guess, ..., gym:NAME, gymnasium:NAME, verifiers:NAME, a file, or a recipe."
        ),
    ],
    problems: Annotated[int, typer.Option(min=1, help="How many problems.")] = 5,
    start: Annotated[int, typer.Option(min=0, help="Place of the first of them in the split.")] = 0,
    split: Annotated[str, typer.Option(help="Which problems; those that are held out if not given.")] = "",
    reward: Annotated[str, typer.Option(help="Who judges; the task's or recipe's own if not given (see train).")] = "",
    show_answer: Annotated[bool, typer.Option("--show-answer", help="After each attempt show the answer.")] = False,
    prompt: Annotated[str, typer.Option("--prompt", metavar="COLUMN", help="Column of questions in a file.")] = "",
    answer: Annotated[str, typer.Option("--answer", metavar="COLUMN", help="Column of answers in a file.")] = "",
    arm: Arm = "",
    settings: Settings = [],  # noqa: B006
) -> None:
    """Answer yourself, as a model would have to, and see what the reward says: terms and the verifier's verdict.

    An answer may have many lines and ends with an empty one, or with Ctrl-D. /answer shows the right answer and a
    worked solution if there is one, /skip leaves a problem out, /quit ends the game. Answers may come from a pipe.

    \b
    Examples:
      whet play chain-sum --set terms=4
      whet play guess --problems 2
      whet play quickstart --show-answer
      whet play gym:spell_backward --start 10
      whet play test.jsonl --reward numeric
    """
    from whet.playing import Ended, Human, Skipped, game

    console = output()
    with progress():
        what = game(task, settings, reward, split, arm, prompt, answer or None)
        asked = what.problems(start, problems)
        typer.echo(HELP)
        person = Terminal(console)
        rows: list[tuple[str, ...]] = []

        async def everything() -> None:
            human = Human(person)
            for number, problem in enumerate(asked, 1):
                console.rule(f"problem {number} of {len(asked)}: {_clean(problem.id)}", align="left", characters="-")
                person.begin(problem)
                try:
                    scored = await what.attempt(human, problem)
                except Skipped:
                    continue
                for one in scored:
                    rows.append(_tell(console, one, person.peeked))
                if show_answer:
                    person.answer()

        try:
            asyncio.run(everything())
        except Ended:
            typer.echo("")
        _totals(console, rows)


class Terminal:
    """Shows a problem, or what an environment says, and reads an answer of one or more lines."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.peeked = False
        self.typed = sys.stdin.isatty()
        if self.typed:
            import readline  # noqa: F401 (input() edits lines with it)

    def begin(self, problem: Problem) -> None:
        self.problem, self.peeked = problem, False

    def ask(self, trajectory: Trajectory) -> str:
        from whet.playing import Ended, Skipped

        last = trajectory.turns[-1]
        self._say(_words(self.problem.prompt) if last.role == "prompt" else last.text)
        lines: list[str] = []
        while True:
            try:
                line = self._line()
            except (EOFError, KeyboardInterrupt) as error:
                if isinstance(error, EOFError) and lines:
                    typer.echo("")
                    return "\n".join(lines)
                raise Ended from None
            if not self.typed:
                self._say(f"> {line}")
            word = line.strip()
            if not lines and word == "/skip":
                raise Skipped
            if not lines and word == "/quit":
                raise Ended
            if not lines and word == "/answer":
                self.peeked = True
                self.answer()
            elif not lines and word == "/help":
                typer.echo(HELP)
            elif word:
                lines.append(line)
            elif lines:
                return "\n".join(lines)

    def _line(self) -> str:
        """One line; Ctrl-C interrupts it, where an event loop would wait for its end."""
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            return input("> " if self.typed else "").encode("utf-8", "replace").decode()
        finally:
            signal.signal(signal.SIGINT, before)

    def answer(self) -> None:
        """The right answer, and a worked one where the task has it."""
        solution = self.problem.info.get("solution")
        if self.problem.answer is None and not solution:
            self._say("this problem has no answer to show")
        if self.problem.answer is not None:
            self._say(f"answer:   {self.problem.answer}")
        if solution:
            self._say(f"solution: {_words(solution)}")

    def _say(self, text: str) -> None:
        self.console.print(_clean(text), markup=False, highlight=False, soft_wrap=True)


def _tell(console: Console, scored: Scored, peeked: bool) -> tuple[str, ...]:
    """Show what came of an attempt; its row of the last table."""
    from whet.scoring import totals

    trajectory = scored.group.trajectories[0]

    def say(text: str) -> None:
        console.print(_clean(text), markup=False, highlight=False, soft_wrap=True)

    if trajectory.stop == "error":
        say(f"the task's own code failed: {trajectory.info.get('error', 'no more is known')}")
        return (trajectory.problem.id, "", "failed", "")
    if observed := trajectory.info.get("observation"):
        say(_words(observed))
    total = float(totals(scored)[0])
    words = {name: said[0] for name, said in scored.outcomes.items()}
    say(f"reward {_number(total)}")
    for name, values in scored.terms.items():
        say(f"  {name}: {_number(float(values[0]))}" + (f" ({words[name]})" if name in words else ""))
    if "unparseable" in words.values():
        say("  no answer was found in this: the reward may want it in <answer>...</answer>; /answer shows how")
    told = ", ".join(f"{name} {_number(float(values[0]))}" for name, values in scored.terms.items())
    return (trajectory.problem.id, _number(total), ", ".join(words.values()), told + (" (peeked)" if peeked else ""))


def _totals(console: Console, rows: Sequence[tuple[str, ...]]) -> None:
    from whet.screen import show_table

    known = [float(row[1]) for row in rows if row[1] and not math.isnan(float(row[1]))]
    if not rows:
        typer.echo("nothing was answered")
        return
    mean = sum(known) / len(known) if known else math.nan
    count = f"{len(known)} attempt{'s' * (len(known) != 1)}"
    table = [*((_clean(row[0]), *row[1:]) for row in rows), ("mean", _number(mean), "", count)]
    show_table(console, ("problem", "reward", "verdict", "terms"), table)


def _words(content: Any) -> str:
    """A prompt as a person reads it: messages one below the other, and a word for what is no text."""
    if isinstance(content, str):
        return content
    parts = []
    for part in content:
        if isinstance(part, dict):
            role = part.get("role")
            text = _words(part.get("content", ""))
            parts.append(text if role == "user" else f"[{role}] {text}")
        else:
            parts.append(part if isinstance(part, str) else f"[{getattr(part, 'kind', type(part).__name__)}]")
    return "\n".join(parts)


def _number(value: float) -> str:
    return f"{value:.3g}"


def _clean(text: str) -> str:
    """Control characters could do things to a terminal."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in str(text))
