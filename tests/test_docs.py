"""What the documentation says is true: its code runs, its commands parse, its quotations are the code's own words."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import typer

from whet.cli import app

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
_FENCE = re.compile(r'^```(\w*)(?: title="([^"\n]*)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
_NAMES = [str(page.relative_to(ROOT)) for page in PAGES]


class Block(NamedTuple):
    language: str
    title: str
    text: str


def blocks(page: Path) -> list[Block]:
    return [Block(*found) for found in _FENCE.findall(page.read_text())]


def python(page: Path) -> list[Block]:
    """The blocks that are to be run: the files that a page makes, and those without a title that import what they use.
    Others are pieces, or speak of a run that is not here."""
    found = [b for b in blocks(page) if b.language == "python" and not b.title.startswith("src/")]
    return [b for b in found if b.title.endswith(".py") or (not b.title and b.text.startswith(("from ", "import ")))]


def commands(page: Path) -> list[list[str]]:
    """Every line of a page that is a command of ours: in an indented block, or inline."""
    text = _FENCE.sub("", page.read_text())
    lines = re.findall(r"^ {4,}((?:whet|make) .*)$", text, re.MULTILINE) + re.findall(
        r"`((?:whet|make) [^`\n]+)`", text
    )
    return [shlex.split(line, comments=True) for line in lines]


@pytest.mark.parametrize("page", PAGES, ids=_NAMES)
def test_code_runs(page: Path, tmp_path: Path) -> None:
    runnable = python(page)
    for block in runnable:
        if block.title:
            (tmp_path / block.title).write_text(block.text)
    pieces = [(b.title or f"block {i}", b.text) for i, b in enumerate(runnable)]
    code = "import sys\n" + "".join(
        f"exec(compile({text!r}, {name!r}, 'exec'), sys.modules.setdefault({name!r}, type(sys)({name!r})).__dict__)\n"
        for name, text in pieces
    )
    if pieces:
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
        assert not done.returncode, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=_NAMES)
def test_quotations_are_the_code(page: Path) -> None:
    for block in blocks(page):
        if block.title.startswith("src/"):
            source = _flat((ROOT / block.title).read_text())
            assert _flat(block.text) in source, f"{block.title} no longer says:\n{block.text}"


def _flat(code: str) -> str:
    """Without indentation, which a quotation loses."""
    return "\n".join(line.strip() for line in code.strip().splitlines())


@pytest.mark.parametrize("page", PAGES, ids=_NAMES)
def test_commands_parse(page: Path) -> None:
    group = typer.main.get_command(app)
    targets = re.findall(r"^([a-z]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for words in commands(page):
        if words[0] == "make":
            assert words[1] in targets, f"make has no {words[1]!r}"
        elif len(words) == 2 and words[1] in group.commands:  # type: ignore[attr-defined]
            continue  # the command's bare name in a sentence
        elif "..." not in words and "[...]" not in words:
            _parses(group, words[1:])


def _parses(group, words: list[str]) -> None:
    """The command line is one that the program understands; nothing is run."""
    if words[0].startswith("-"):
        assert words[0] in ("--help", "-h", "--version")
        return
    assert words[0] in group.commands, f"whet has no command {words[0]!r}"
    if words[1:] in (["--help"], ["-h"]):
        return
    group.commands[words[0]].make_context(words[0], words[1:])


@pytest.mark.parametrize("page", PAGES, ids=_NAMES)
def test_links_lead_somewhere(page: Path) -> None:
    text = _FENCE.sub("", page.read_text())
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        if path.startswith(("http:", "https:", "mailto:")):
            continue
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{page.name} links to {target}"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", found.read_text(), re.MULTILINE)
            assert anchor in [re.sub(r"[^\w]+", "-", heading.lower()).strip("-") for heading in headings], target


def test_every_page_is_in_the_menu() -> None:
    menu = (ROOT / "mkdocs.yml").read_text()
    for page in (ROOT / "docs").rglob("*.md"):
        assert f" {page.relative_to(ROOT / 'docs')}" in menu, f"{page.name} is not in mkdocs.yml"


def test_the_added_things_train(tmp_path: Path) -> None:
    for block in python(ROOT / "docs" / "add-one-thing.md"):
        (tmp_path / block.title).write_text(block.text)
    small = ["--set", "steps=2", "--set", "model.stages.0.steps=2", "--set", "evaluate.0.problems=3"]
    whet = [sys.executable, "-c", "from whet.cli import main; main()", "run", "my_recipe.py", "--out", "run"]
    done = subprocess.run([*whet, *small], cwd=tmp_path, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    assert (tmp_path / "run" / "model" / "model.safetensors").exists()
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 2
