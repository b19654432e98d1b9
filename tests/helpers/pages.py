"""The pages that a user follows from an empty folder: their files, their commands, and what a command is to say."""

from __future__ import annotations

import os
import re
import runpy
import shlex
import sys
from pathlib import Path
from typing import NamedTuple

from helpers.commands import _command, _forked

_FENCE = r'^```(?P<language>\w+)(?: title="(?P<title>[^"\n]*)")?\n(?P<text>.*?)^```$'
_COMMAND = r"^ {4}(?P<command>(?:whet|python) [^\n]*)$"
_PIECE = re.compile(f"{_FENCE}|{_COMMAND}", re.MULTILINE | re.DOTALL)


class Step(NamedTuple):
    """A file to write, or a command to run."""

    file: str
    text: str
    command: str
    errors: tuple[str, ...] = ()  # what a command that fails says; nothing where it has to work


def steps(page: Path) -> list[Step]:
    found: list[Step] = []
    for piece in _PIECE.finditer(page.read_text()):
        if piece["command"]:
            found.append(Step("", "", piece["command"]))
        elif piece["title"] == "error":
            found[-1] = found[-1]._replace(errors=tuple(piece["text"].strip().splitlines()))
        elif piece["title"]:
            found.append(Step(piece["title"], piece["text"], ""))
    return found


def beside(page: Path) -> list[Path]:
    """The pages whose files this one wants: "Beside the files of [a task](task.md)", and what those want."""
    sentence = re.search(r"Beside the files of ([^.:]+(?:\.md[^.:]*)+)", page.read_text())
    links = re.findall(r"\((\w+\.md)\)", sentence[1]) if sentence else []
    wanted = [other for link in links for other in [*beside(page.parent / link), page.parent / link]]
    return list(dict.fromkeys(wanted))


def smaller(text: str) -> str:
    """The same with two steps, and two problems in an evaluation."""
    return re.sub(r"\b(steps|problems)=\d+", r"\1=2", text)


def run(command: str, folder: Path) -> tuple[int, str]:
    """(exit code, what it said) of a `whet ...` or `python ...` in `folder`."""
    log = folder / "log"
    log.write_bytes(b"")
    process = _forked.Process(target=_there, args=(shlex.split(command), str(folder), str(log)))
    process.start()
    process.join(120)
    assert process.exitcode is not None, f"{command} hangs: {log.read_text()}"
    return process.exitcode, log.read_text()


def _there(words: list[str], folder: str, log: str) -> None:
    os.chdir(folder)
    sys.path.insert(0, folder)
    if words[0] == "whet":
        _command(words[1:], log, {}, 0, 0)
        return
    file = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    if words[1] == "-c":
        exec(compile(words[2], "-c", "exec"), {"__name__": "__main__"})
    else:
        runpy.run_path(words[1], run_name="__main__")
