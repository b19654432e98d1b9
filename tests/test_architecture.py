"""Tests about the code base itself: imports go down, components do not know one another, nothing is registered."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1] / "src" / "whet"

# Each floor may import floors below it and its own; the component folders may not import one another.
FLOORS: list[set[str]] = [
    {"types", "randomness", "schedule", "ahead", "alerts", "idle", "files", "building", "workers"},
    {"scoring", "batching", "describe", "inventory"},
    {"models", "verifiers", "sandbox", "machines"},
    {"tools"},
    {
        *("tasks", "rewards", "rollouts", "curricula", "filters", "tracks", "advantages", "weightings", "objectives"),
        *("callbacks", "engines", "learners"),
    },
    {"run", "checkpoints", "given"},
    {"stages", "metrics"},
    {"claims", "bounds"},
    {"recipe", "settings", "typed", "report", "trackers"},
    {
        "recipes",
        "contracts",
        "promises",
        "examples",
        "launch",
        "own",
        "sources",
        "evaluating",
        "comparing",
        "playing",
        "explaining",
        "effects",
        "replaying",
        "probes",
        "auditing",
        "outline",
        "pushing",
        "screen",
        "reproduce",
        "stamps",
        "doctor",
        "catalogue",
        "view",
        "commands",
        "cli",
    },
]
APART = FLOORS[4]


def _files() -> list[Path]:
    return sorted(p for p in ROOT.rglob("*.py") if p != ROOT / "__init__.py")


def _room(file: Path) -> str:
    return file.relative_to(ROOT).parts[0].removesuffix(".py")


def _imports(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "whet":
            parts = (node.module or "").split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {n.name.split(".")[1] for n in node.names if n.name.startswith("whet.")}
    return found


def _floor(room: str) -> int:
    for number, rooms in enumerate(FLOORS):
        if room in rooms:
            return number
    raise AssertionError(f"{room} has no floor: give it one in {__file__}")


@pytest.mark.parametrize("file", _files(), ids=lambda f: str(f.relative_to(ROOT)))
def test_imports_go_down_only(file: Path) -> None:
    room = _room(file)
    for other in _imports(file) - {room}:
        assert _floor(other) <= _floor(room), f"{room} imports {other}, which stands above it"
        if room in APART:
            assert other not in APART, f"{room} and {other} are components and must not know one another"


def test_init_files_are_empty() -> None:
    """But for the package's own: what it sets must be set before torch is loaded."""
    for file in ROOT.rglob("__init__.py"):
        if file.parent == ROOT:
            assert re.findall(r"^\s*(?:import|from) (\S+)", file.read_text(), re.M) == ["os"]
        else:
            assert file.read_text() == "", file


def test_verifiers_start_without_torch() -> None:
    for file in (ROOT / "verifiers").glob("*.py"):
        names = {
            (node.module or "").split(".")[0] if isinstance(node, ast.ImportFrom) else node.names[0].name.split(".")[0]
            for node in ast.walk(ast.parse(file.read_text()))
            if isinstance(node, (ast.Import, ast.ImportFrom))
        }
        assert not names & {"torch", "transformers"}, file
        assert not _imports(file) & {"types", "models"}, file


def test_only_the_command_line_prints() -> None:
    for file in _files():
        if _room(file) in ("cli", "commands", "screen"):  # the screen is the command line's
            continue
        calls = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
        assert not [c for c in calls if isinstance(c.func, ast.Name) and c.func.id == "print"], file


def test_nothing_is_evaluated_or_unpickled() -> None:
    for file in _files():
        if _room(file) == "promises":  # pickles what it is given, and reads back its own bytes only
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                assert name not in ("eval", "exec", "pickle.load", "pickle.loads", "yaml.load"), (file, name)
                if name == "torch.load":
                    assert "weights_only=True" in ast.unparse(node), file


def test_the_loop_fits_on_one_screen() -> None:
    tree = ast.parse((ROOT / "stages" / "rl.py").read_text())
    loop = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "RL")
    bodies = {n.name: (n.end_lineno or 0) - n.lineno + 1 for n in loop.body if isinstance(n, ast.AsyncFunctionDef)}
    assert sum(bodies.values()) < 80, bodies


def test_the_loop_names_no_paper() -> None:
    text = (ROOT / "stages" / "rl.py").read_text().lower()
    for recipe in (ROOT / "recipes").glob("*.py"):
        if recipe.stem not in ("__init__", "quickstart", "curricula"):  # the last compares what the loop holds
            assert recipe.stem.replace("_", "") not in text.replace("_", "")
