"""What a result was made from, so that one can see whether it is stale."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path
from typing import Any

import whet
from whet.describe import describe, fingerprint, walk
from whet.recipe import Recipe

_PRIVATE = re.compile(r"^from (whet\.(?:\w+\.)*_\w+) import", re.MULTILINE)
_BELOW = {"builtins", "whet.recipe", "whet.run", "whet.types"}  # what these hold is in the recipe, told in full


def stamp(recipe: Recipe) -> str:
    """Changes when the recipe changes, or the code of a component that it names (with the private files it imports): a
    result with another stamp is stale. Comments, docstrings and what lies below the components do not count."""
    return fingerprint(told(recipe), {name: _tree(file) for name, file in _sources(recipe).items()})


def told(recipe: Recipe) -> Any:
    """All of a recipe that its result depends on, as plain data."""
    return describe(_parts(recipe))


def _parts(recipe: Recipe) -> list[Any]:
    return [recipe.model, dict(recipe.arms), list(recipe.evaluate), recipe.claim, list(recipe.measures)]


def _sources(recipe: Recipe) -> dict[str, Path]:
    """{module: file} of every component in the tree, with the private modules that these import."""
    things = [part if hasattr(part, "__name__") else type(part) for _, part in walk(_parts(recipe))]
    names = {getattr(thing, "__module__", "") for thing in things} - _BELOW
    files: dict[str, Path] = {}
    while names:
        module = sys.modules.get(name := names.pop())
        file = getattr(module, "__file__", None)
        if name in files or file is None:
            continue
        files[name] = Path(file)
        names |= set(_PRIVATE.findall(files[name].read_text(encoding="utf-8")))
    return dict(sorted(files.items()))


def _tree(file: Path) -> str:
    """A file's code without comments and docstrings."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body = node.body[1:]
    return ast.dump(tree)


def code() -> str:
    """All of Whet's code: runs of another version are not used again."""
    root = Path(whet.__path__[0])
    return fingerprint({str(f.relative_to(root)): f.read_text(encoding="utf-8") for f in sorted(root.rglob("*.py"))})


def components(recipe: Recipe) -> list[str]:
    """What the arms use that the first arm does not; with one arm, all that it uses."""
    used = [dict.fromkeys(_names(list(stages))) for stages in recipe.arms.values()]
    first = used[0] if len(used) > 1 else {}
    return list(dict.fromkeys(name for names in used for name in names if name not in first))


def _names(node: Any) -> list[str]:
    """The components in a tree: classes and functions of the component folders."""
    told = [part for _, part in walk(node)]
    classes = [part if hasattr(part, "__name__") else type(part) for part in told]
    return [kind.__name__ for kind in classes if "." in kind.__module__.removeprefix("whet.")]
