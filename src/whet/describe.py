"""A recipe as plain data: what `recipe.json`, `whet show` and the cache of made models are based on."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor


def describe(node: Any) -> Any:
    """`node` as JSON values, the same in every process. A component becomes {"is": "module.Class", field: ...}, an
    object that is no dataclass its {"is": ...} alone; a function its "module.name".

    A field with metadata {"told": False} is left out: it says how something is done, and may change in mid-run.
    State is no part of a description: two arms that have learned different things from the same recipe are the same.
    """
    if node is None or isinstance(node, (bool, int, float, str)):
        return node
    if dataclasses.is_dataclass(node) and not isinstance(node, type):
        fields = {
            f.name: describe(getattr(node, f.name))
            for f in dataclasses.fields(node)
            if f.init and f.name != "state" and f.metadata.get("told", True)
        }
        return {"is": named(type(node)), **fields}
    if isinstance(node, Mapping):
        return {str(key): describe(value) for key, value in node.items()}
    if isinstance(node, (list, tuple)):
        return [describe(value) for value in node]
    if isinstance(node, (set, frozenset)):
        return sorted(describe(value) for value in node)
    if isinstance(node, functools.partial):
        return {"is": named(node.func), "args": describe(node.args), **describe(node.keywords)}
    if isinstance(node, Tensor):
        return {"is": "tensor", "dtype": str(node.dtype), "values": node.tolist()}
    if hasattr(node, "__qualname__") or hasattr(node, "__name__"):
        return named(node)
    if type(node).__repr__ is object.__repr__:  # an object of a plain class
        return {"is": named(type(node))}
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(node))  # an address is another one in every process


def named(thing: Any) -> str:
    """A class or function by module and name, without our own prefix: "objectives.clip.Clip"."""
    module = getattr(thing, "__module__", "") or ""
    name = getattr(thing, "__qualname__", None) or getattr(thing, "__name__", None) or repr(thing)
    return f"{module.removeprefix('whet.')}.{name}" if module else name


def fingerprint(*parts: Any) -> str:
    """16 hex digits that change when anything described changes."""
    text = json.dumps([describe(part) for part in parts], sort_keys=True, ensure_ascii=False)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def walk(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every part of a tree with its path ("train.policy.objective.low"), parents first."""
    yield path, node
    for key, value in children(node):
        yield from walk(value, f"{path}.{key}" if path else key)


def children(node: Any) -> list[tuple[str, Any]]:
    """The parts directly below: fields of a component, entries of a mapping, items of a list."""
    if dataclasses.is_dataclass(node) and not isinstance(node, type):
        return [(f.name, getattr(node, f.name)) for f in dataclasses.fields(node) if f.init and f.name != "state"]
    if isinstance(node, Mapping):
        return [(str(key), value) for key, value in node.items()]
    if isinstance(node, (list, tuple)):
        return [(str(i), value) for i, value in enumerate(node)]
    return []
