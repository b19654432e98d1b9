"""What the documentation says is true: its code runs, its commands parse, its quotations are the code's own words."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import typer
from helpers import pages

from whet.cli import app

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
GUIDES = [ROOT / "docs" / "first-hour.md", *sorted((ROOT / "docs" / "add").glob("*.md"))]  # followed step by step
_FEWER = {
    "whet train": "--steps 2 --sft-steps 2 --problems 2 --group 2 --samples 2 --test-problems 2",
    "whet reproduce": "--workers 1",
}
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


@pytest.mark.parametrize("page", [page for page in PAGES if page not in GUIDES], ids=lambda page: page.name)
def test_code_runs(page: Path, tmp_path: Path) -> None:
    runnable = python(page)
    if page.name == "sandbox.md" and shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
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


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.stem)
def test_a_guide_works_from_an_empty_folder(page: Path, tmp_path: Path) -> None:
    """Its files as they stand, but for fewer steps, and its commands, which work, or fail with the errors shown."""
    for other in pages.beside(page):
        for step in pages.steps(other):
            if step.file:
                (tmp_path / step.file).write_text(pages.smaller(step.text))
    for step in pages.steps(page):
        if step.file:
            (tmp_path / step.file).write_text(pages.smaller(step.text))
            continue
        fewer = next((more for start, more in _FEWER.items() if step.command.startswith(start)), "")
        code, said = pages.run(f"{step.command} {fewer}", tmp_path)
        assert bool(code) == bool(step.errors), f"{step.command} ended with {code}:\n{said}"
        for line in step.errors:
            assert line in said, f"{step.command} said:\n{said}"


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.stem)
def test_a_guide_has_at_most_forty_lines_of_code(page: Path) -> None:
    lines = [line for step in pages.steps(page) for line in step.text.splitlines() if line.strip()]
    assert len(lines) <= 40


def test_the_first_hour_leads_to_the_guides_it_needs() -> None:
    text = (ROOT / "docs" / "first-hour.md").read_text()
    followed = [step.command for step in pages.steps(ROOT / "docs" / "add" / "objective.md")]
    assert any(command in text for command in followed if command.startswith("whet compare"))
    for link in ("add/task.md", "add/objective.md", "add/paper.md"):
        assert f"({link})" in text
