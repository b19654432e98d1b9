"""What people see: progress while a run works (bars in a terminal, a few plain lines anywhere else), and tables of
what came out."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

_LINES = 10  # our choice: plain lines per stage
_BAR = 16  # our choice: characters of a bar
_REST = 26  # our choice: room for title, count and time beside it
_SHORT = 800  # our choice: characters of a text that is shown
_SMOOTH = 0.7  # our choice: weight of the past in tokens per second

# What is shown of a step: the word, the metrics that may hold it (the first that is there), and its format.
_SHOWN = (
    ("reward", ("reward/mean",), ".3f"),
    ("right", ("outcome/right", "right/correct"), ".1%"),
    ("loss", ("loss",), ".3f"),
    ("length", ("length/mean",), ".1f"),
)


class BarScreen:
    """One progress bar per stage, its newest metrics behind it."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._speed = Speed()
        self._warned = Once()

    def begin(self, title: str, steps: int, done: int) -> None:
        self.end()
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=_BAR),
            *((MofNCompleteColumn(), TimeRemainingColumn(compact=True)) if steps else ()),
            TextColumn("[dim]{task.fields[told]}"),
        )
        self._bar = Progress(*columns, console=self.console, refresh_per_second=4)
        self._task = self._bar.add_task(title, total=steps or None, completed=done, told="")
        self._speed = Speed()
        self._bar.start()

    def advance(self, done: int, metrics: Mapping[str, float]) -> None:
        if self._bar is not None:
            told = told_of(metrics) + self._speed.told(metrics)
            while told and len("  ".join(told)) > self.console.width - _BAR - _REST:
                told.pop()  # the last ones matter least
            self._bar.update(self._task, completed=done, told="  ".join(told))

    def end(self) -> None:
        if self._bar is not None:
            if self._bar.tasks and self._bar.tasks[0].total is None:  # no count to reach: show it full
                self._bar.update(self._task, total=1, completed=1)
            self._bar.stop()
            self._bar = None

    def warn(self, text: str) -> None:
        if self._warned.first(text):
            self.console.print("warning:", text, style="yellow", markup=False, highlight=False, soft_wrap=True)

    def alert(self, text: str) -> None:
        self.console.print("alert:", text, style="yellow", markup=False, highlight=False, soft_wrap=True)


class LineScreen:
    """A line when a stage begins, and about one for every tenth of its steps."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._title, self._steps, self._began, self._first = "", 0, 0.0, 0
        self._speed = Speed()
        self._warned = Once()

    def begin(self, title: str, steps: int, done: int) -> None:
        self._title, self._steps, self._began, self._first = title, steps, time.monotonic(), done
        self._speed = Speed()
        self._say(f"{title}: {steps} steps" + (f", {done} done" if done else "") if steps else f"{title} ...")

    def advance(self, done: int, metrics: Mapping[str, float]) -> None:
        speed = self._speed.told(metrics)
        every = max(1, self._steps // _LINES)
        if done % every == 0 or done == self._steps:
            left = (time.monotonic() - self._began) / max(done - self._first, 1) * max(self._steps - done, 0)
            eta = [f"eta {clock(left)}"] if left >= 1 else []
            self._say("  ".join([f"{self._title} {done}/{self._steps}", *told_of(metrics), *speed, *eta]))

    def end(self) -> None:
        self._title = ""

    def warn(self, text: str) -> None:
        if self._warned.first(text):
            self._say(f"warning: {text}")

    def alert(self, text: str) -> None:
        self._say(f"alert: {text}")

    def _say(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)


def screen_for(console: Console) -> BarScreen | LineScreen:
    """Bars where they can move, else lines."""
    return BarScreen(console) if console.is_terminal else LineScreen(console)


class Speed:
    """Tokens per second between two steps, smoothed; of a log that counts all tokens so far in "tokens"."""

    def __init__(self) -> None:
        self._last: tuple[float, float] | None = None
        self._rate = 0.0

    def told(self, metrics: Mapping[str, float]) -> list[str]:
        if "tokens" not in metrics:
            return []
        now, tokens = time.monotonic(), float(metrics["tokens"])
        last, self._last = self._last, (now, tokens)
        if last is None:
            return []
        rate = (tokens - last[1]) / max(now - last[0], 1e-9)
        self._rate = _SMOOTH * self._rate + (1 - _SMOOTH) * rate if self._rate else rate
        return [f"{self._rate:,.0f} tokens/s"]


class Once:
    """Says which warnings are new. Two that differ in numbers only (a step, a count) are one."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def first(self, text: str) -> bool:
        kind = re.sub(r"\d+", "#", text)
        new = kind not in self._seen
        self._seen.add(kind)
        return new


def told_of(metrics: Mapping[str, float]) -> list[str]:
    """The few metrics that people watch, as words: ["reward 0.412", "right 41.2%", ...]."""
    told = []
    for word, names, form in _SHOWN:
        value = next((metrics[name] for name in names if name in metrics), None)
        if isinstance(value, (int, float)) and not math.isnan(value):
            told.append(f"{word} {value:{form}}")
    return told


def clock(seconds: float) -> str:
    """ "8 s", "1:05 min", "2:03:10 h"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}:{rest:02d} min"
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d} h"


def show_results(console: Console, folder: Path) -> None:
    """The end of a run: before, after and difference; three attempts; where things are."""
    from whet.files import read_json
    from whet.report import HEADER, rows

    found = rows(read_json(folder / "report.json"))
    if found:
        show_table(console, HEADER, found, "95 % intervals over problems; p: paired two-sided test of the difference")
    for file in sorted((folder / "evaluations" / "after").glob("*.json"))[:1]:
        show_attempts(console, read_json(file).get("samples", []))
    console.print()
    for word, said in (
        ("training time", clock(training_time(folder))),
        ("run folder", str(folder)),
        ("model", str(folder / "model")),
    ):
        console.print(f"{word:14}{said}", markup=False, highlight=False, soft_wrap=True)


@contextmanager
def steps_bar(console: Console, title: str) -> Iterator[Callable[[int, int, str], None]]:
    """A bar over the steps of many runs; yields what to call with (steps done, steps in all, what is done)."""
    screen = screen_for(console)
    began = False

    def watch(done: int, total: int, finished: str) -> None:
        nonlocal began
        if not began:
            screen.begin(title, total, done)
            began = True
        if finished and not console.is_terminal:
            console.print(f"{finished}: done", markup=False, highlight=False, soft_wrap=True)
        if done and (finished or console.is_terminal):
            screen.advance(done, {})

    try:
        yield watch
    finally:
        screen.end()


def show_reproduction(console: Console, result: Mapping[str, Any], quick: bool) -> None:
    """A table with a line per arm, then each finding, then the verdict."""
    from whet.report import cell, fitting, p_value

    names = list(dict.fromkeys(name for arm in result["arms"].values() for name in arm if name != "seeds"))
    table = [
        (arm, str(len(found["seeds"])), *(cell(name, found[name]) if name in found else "" for name in names))
        for arm, found in result["arms"].items()
    ]
    header, *lines = fitting(("arm", "seeds", *names), table)
    show_table(console, header, lines, "95 % intervals over seeds and problems")
    for finding in result["findings"]:
        change = cell(finding["measure"], finding["difference"], change=True)
        more = f"; about {finding['seeds']} seeds would settle it" if finding["seeds"] else ""
        said = "" if quick else f", p {p_value(finding['difference']['p'])}: {finding['verdict']}{more}"
        console.print(f"{finding['statement']}: {change}{said}", markup=False, highlight=False, soft_wrap=True)
    if result["verdict"] and not quick:
        console.print(f"verdict: {result['verdict']}", style="bold", markup=False, highlight=False)


def show_table(console: Console, header: Sequence[str], rows: Iterable[Sequence[str]], caption: str = "") -> None:
    table = Table(caption=caption or None, caption_justify="left")
    for number, name in enumerate(header):
        table.add_column(name, justify="right" if number else "left")
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    console.print(table)


def show_attempts(console: Console, samples: Sequence[Mapping[str, Any]]) -> None:
    """A few attempts, each with prompt, what was written, the right answer, and the reward."""
    for sample in samples:
        told = {"prompt": sample["prompt"], "attempt": sample["text"], "answer": sample["answer"]}
        console.print()
        for word, text in (told | {"reward": f"{sample['reward']:.3g}"}).items():
            console.print(f"{word:9}{_short(str(text))}", markup=False, highlight=False, soft_wrap=True)


def training_time(folder: Path) -> float:
    """Seconds spent in steps, over all sessions of a run that was stopped in between."""
    from whet.files import read_lines

    lines = read_lines(folder / "metrics.jsonl")
    return sum(line.get(name) or 0.0 for line in lines for name in ("time/play", "time/learn"))


def clean(text: str) -> str:
    """A model's words on one line; control characters could do things to a terminal."""
    return "".join(c if c.isprintable() else " " if c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text.strip())


def _short(text: str) -> str:
    """Control characters could do things to a terminal, and a long text hides the rest."""
    clean = "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text.strip())
    clean = clean if len(clean) <= _SHORT else clean[: _SHORT // 2] + " ... " + clean[-_SHORT // 2 :]
    return clean.replace("\n", "\n" + " " * 9)
