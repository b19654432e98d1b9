"""Verifiers by name: a file of this folder that defines `verify`, or "file.py:function"."""

from __future__ import annotations

import difflib
import functools
import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any


@functools.lru_cache(maxsize=1)
def known() -> tuple[str, ...]:
    """The verifiers of this folder."""
    files = Path(__file__).parent.glob("*.py")
    return tuple(sorted(file.stem for file in files if "\ndef verify(" in file.read_text(encoding="utf-8")))


def module(name: str) -> ModuleType:
    """The module of a verifier. ValueError for an unknown name, with the nearest ones; whatever the import raises."""
    if ":" in name:
        return load(name)[0]
    if name not in known():
        near = difflib.get_close_matches(name, known(), n=2)
        hint = f"did you mean {' or '.join(near)}?" if near else "or give your own as 'file.py:function'"
        raise ValueError(f"there is no verifier {name!r}; there are {', '.join(known())}; {hint}")
    return importlib.import_module(f"whet.verifiers.{name}")


def function(name: str) -> Callable[..., Any]:
    """`verify` of a verifier: (answer, gold, **options) -> "right", "wrong" or "unparseable", or that
    and a number."""
    return load(name)[1] if ":" in name else module(name).verify


def split(path: str) -> tuple[Path, str]:
    """The file and the name of "file.py:function". ValueError for another form, or a file that is not there."""
    file, colon, name = path.rpartition(":")
    if not colon or not file.endswith(".py") or not name.isidentifier():
        raise ValueError(f"a function of yours is named 'file.py:function', got {path!r}")
    if not Path(file).expanduser().is_file():
        raise ValueError(f"there is no file {file!r} (named by {path!r}); give a path from where you start whet")
    return Path(file).expanduser().resolve(), name


@functools.lru_cache(maxsize=64)
def load(path: str) -> tuple[ModuleType, Callable[..., Any]]:
    """Run a user's file (once per process) and take its function; its folder comes first in `sys.path`.

    ValueError when file or function is missing; whatever running the file raises.
    """
    file, name = split(path)
    if str(file.parent) not in sys.path:
        sys.path.insert(0, str(file.parent))
    label = f"whet_user_{file.stem}"  # not the bare stem: a file may be called math.py
    spec = importlib.util.spec_from_file_location(label, file)
    assert spec is not None and spec.loader is not None  # it is a .py file
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[label] = loaded
    spec.loader.exec_module(loaded)
    found = getattr(loaded, name, None)
    if not callable(found):
        raise ValueError(f"{file.name} has no function {name!r}; it has {', '.join(_functions(loaded)) or 'none'}")
    return loaded, found


def _functions(loaded: ModuleType) -> list[str]:
    return [key for key, value in vars(loaded).items() if callable(value) and value.__module__ == loaded.__name__]
