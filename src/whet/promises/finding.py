"""Which components a folder holds."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from typing import Any

from whet.describe import named
from whet.promises.common import ContractError

_CALLS = {  # folder -> a noun that each argument's annotation must speak of
    "objectives": ("Outputs", "Batch"),
    "advantages": ("Scored",),
    "weightings": ("Batch",),
    "filters": ("Scored",),
    "rewards": ("Group",),
    "curricula": ("Task", "int", "int"),
    "tasks": ("str", "int"),
    "rollouts": ("Models", "Problem", "int"),
}
_VERBS = {"curricula": "draw", "tasks": "problem"}  # the method that is called, where it is not __call__


def found(folder: str, package: str = "whet") -> list[Any]:
    """Every component of a folder: a module's `EXAMPLES`, else its public classes, made without arguments, and its
    public functions. Modules whose name starts with _ hold what components share.

    Raises ContractError where a class needs arguments and its module has no EXAMPLES.
    """
    parts = []
    home = importlib.import_module(f"{package}.{folder}")
    for info in pkgutil.iter_modules(home.__path__):
        if info.name.startswith("_"):
            continue
        module = importlib.import_module(f"{home.__name__}.{info.name}")
        if hasattr(module, "EXAMPLES"):
            parts += module.EXAMPLES
            continue
        for name, thing in vars(module).items():
            if name.startswith("_") or getattr(thing, "__module__", "") != module.__name__:
                continue
            verb = _VERBS.get(folder, "__call__")
            if inspect.isclass(thing) and _speaks(getattr(thing, verb, None), folder, method=True):
                parts.append(_made(thing))
            elif inspect.isfunction(thing) and folder not in _VERBS and _speaks(thing, folder):
                parts.append(thing)
    return parts


def _speaks(call: Any, folder: str, method: bool = False) -> bool:
    if not inspect.isfunction(call):
        return False
    arguments = [p for p in inspect.signature(call).parameters.values() if p.default is p.empty][method:]
    nouns = _CALLS[folder]
    return len(arguments) == len(nouns) and all(n in str(a.annotation) for n, a in zip(nouns, arguments, strict=True))


def _made(kind: Callable[[], Any]) -> Any:
    try:
        return kind()
    except TypeError as error:
        raise ContractError(f"{named(kind)} needs arguments ({error}); give its module EXAMPLES = [...]") from error
