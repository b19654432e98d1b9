"""Does a value fit an annotation? What `--set` and `at_scale` are checked by, so that a wrong type is an error before
any work and not a strange number after it."""

from __future__ import annotations

import collections.abc
import dataclasses
import functools
import math
import operator
import typing
from collections.abc import Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union

from whet.schedule import Schedule

_MAPPINGS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)
_SEQUENCES = (list, tuple, set, frozenset, collections.abc.Sequence, collections.abc.Iterable, collections.abc.Set)


class Misfit(Exception):
    """A value does not fit; caught by `settings`, which knows the path and says it to the user."""


def fit(annotation: Any, value: Any) -> Any:
    """`value` as the field wants it: an int becomes a float where a float is wanted, a list a tuple, text a path.
    Nothing else is converted: a bool is no int, 3.0 is no int, "3" is no number. Misfit otherwise."""
    if (scheduled := _scheduled(annotation)) is not None:
        return value if isinstance(value, Schedule) else fit(scheduled, value)
    annotation = _bare(annotation)
    if annotation is Any:
        return value
    members = _members(annotation)
    if members:
        return _fit_any(members, value)
    origin = typing.get_origin(annotation) or annotation
    if origin is Literal:
        if any(type(value) is type(word) and value == word for word in typing.get_args(annotation)):
            return value
    elif origin in (None, NoneType):
        if value is None:
            return None
    elif origin in (bool, int, float, str):
        return _fit_scalar(origin, value)
    elif origin is Path and isinstance(value, (str, Path)):
        return Path(value)
    elif origin in _MAPPINGS and isinstance(value, Mapping):
        of = typing.get_args(annotation) or (Any, Any)
        return {_fit_key(of[0], key): fit(of[1], entry) for key, entry in value.items()}
    elif origin in _SEQUENCES and isinstance(value, (list, tuple, set, frozenset)):
        return _fit_sequence(annotation, origin, list(value))
    elif origin is collections.abc.Callable:
        if callable(value):
            return value
    elif isinstance(origin, type) and not is_plain(value) and _instance(value, origin):
        return value
    raise Misfit


def below(annotation: Any, node: Any, key: str) -> Any:
    """The annotation of the part `key` of `node`, which stands in a field annotated `annotation`."""
    if dataclasses.is_dataclass(node):
        return hints(type(node)).get(key, Any)
    found = []
    for member in _members(_bare(annotation)) or (annotation,):
        member = _bare(member)
        of, origin = typing.get_args(member), typing.get_origin(member)
        if isinstance(node, Mapping):
            found += [of[1]] if origin in _MAPPINGS and len(of) == 2 else []
        elif origin is tuple and of and of[-1] is not Ellipsis:
            found += [of[int(key)]] if key.isdigit() and int(key) < len(of) else []
        elif origin in _SEQUENCES and of:
            found.append(of[0])
    return functools.reduce(operator.or_, found) if found else Any


def new_key(annotation: Any, key: str) -> Any:
    """`key` as a new key of a mapping annotated so. Misfit if the field is no mapping of plain values."""
    for member in _members(_bare(annotation)) or (annotation,):
        of = typing.get_args(_bare(member))
        if typing.get_origin(_bare(member)) in _MAPPINGS and len(of) == 2 and _takes_plain(of[1]):
            return _fit_key(of[0], key)
    raise Misfit


def settable(annotation: Any, value: Any) -> bool:
    """Whether a field that holds `value` can be written as JSON: it is no component, function or tensor itself (but a
    schedule is replaced by a number)."""
    if isinstance(value, Schedule):
        return takes(annotation, 1)
    if value is None or (isinstance(value, (Mapping, list, tuple)) and not value):
        return _takes_plain(annotation)
    return is_plain(value)


def takes(annotation: Any, value: Any) -> bool:
    """Whether `value` fits."""
    try:
        fit(annotation, value)
    except Misfit:
        return False
    return True


def say(annotation: Any) -> str:
    """The annotation in words: "a whole number", "one of 'mean', 'sum'"."""
    if (scheduled := _scheduled(annotation)) is not None:
        return say(scheduled)
    annotation = _bare(annotation)
    members = _members(annotation)
    if members:
        return " or ".join(dict.fromkeys(say(member) for member in members))
    origin, of = typing.get_origin(annotation) or annotation, typing.get_args(annotation)
    if origin is Literal:
        return "one of " + ", ".join(repr(word) for word in of)
    if origin in _MAPPINGS:
        return "an object" + (f" whose entries are {say(of[1])}" if len(of) == 2 else "")
    if origin is tuple and of and of[-1] is not Ellipsis:
        return "a list of " + ", ".join(say(member) for member in of)
    if origin in _SEQUENCES:
        return "a list" + (f" whose items are {say(of[0])}" if of else "")
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "text", Path: "a path"}
    words |= {NoneType: "null", None: "null", Any: "anything"}
    return words.get(origin) or f"a component ({getattr(origin, '__name__', origin)})"


@functools.cache
def hints(kind: type) -> dict[str, Any]:
    """The annotations of a component's fields; those that can not be resolved (a name known to the type checker only)
    are Any."""
    try:
        return typing.get_type_hints(kind, include_extras=True)
    except (NameError, TypeError, AttributeError):
        return {}


def _fit_any(members: tuple[Any, ...], value: Any) -> Any:
    for exact in (True, False):  # 3 stays whole where both int and float are welcome
        for member in members:
            try:
                fitted = fit(member, value)
            except Misfit:
                continue
            if not exact or type(fitted) is type(value):
                return fitted
    raise Misfit


def _fit_scalar(kind: type, value: Any) -> Any:
    if kind is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            raise Misfit from None
        if not math.isnan(number):
            return number
    elif type(value) is kind:
        return value
    raise Misfit


def _fit_sequence(annotation: Any, origin: Any, values: list[Any]) -> Any:
    of = typing.get_args(annotation)
    if origin is tuple and of and of[-1] is not Ellipsis:
        if len(values) != len(of):
            raise Misfit
        return tuple(fit(member, value) for member, value in zip(of, values, strict=True))
    fitted = [fit(of[0] if of else Any, value) for value in values]
    return {list: list, set: set, frozenset: frozenset}.get(origin, tuple)(fitted)


def _bare(annotation: Any) -> Any:
    """Without what is only said about it; a type variable may be anything."""
    if _scheduled(annotation) is not None:
        return annotation
    while typing.get_origin(annotation) is Annotated:
        annotation = typing.get_args(annotation)[0]
    return (
        Any if annotation is object or isinstance(annotation, (typing.TypeVar, str, typing.ForwardRef)) else annotation
    )


def _members(annotation: Any) -> tuple[Any, ...]:
    return typing.get_args(annotation) if typing.get_origin(annotation) in (Union, UnionType) else ()


def _scheduled(annotation: Any) -> type | None:
    """float or int where the field is a `Number` or `Count`, else None."""
    if typing.get_origin(annotation) is Annotated:
        first, *said = typing.get_args(annotation)
        if first is Any and said[0] in (float, int):
            return said[0]
    return None


def _fit_key(annotation: Any, key: Any) -> Any:
    """A key of a mapping; in JSON whole numbers are written as text there."""
    whole = isinstance(key, str) and _bare(annotation) is int and key.removeprefix("-").isdecimal()
    return fit(annotation, int(key) if whole else key)


def _takes_plain(annotation: Any) -> bool:
    """Whether any JSON value other than null, [] and {} fits."""
    if _scheduled(annotation) is not None:
        return True
    annotation = _bare(annotation)
    if members := _members(annotation):
        return any(_takes_plain(member) for member in members)
    origin, of = typing.get_origin(annotation) or annotation, typing.get_args(annotation)
    if origin in _MAPPINGS:
        return not of or _takes_plain(of[1])
    if origin in _SEQUENCES:
        return all(_takes_plain(member) for member in of if member is not Ellipsis)
    return origin in (Any, Literal, bool, int, float, str, Path)


def _instance(value: Any, kind: type) -> bool:
    if getattr(kind, "_is_protocol", False):
        return True  # what a protocol promises is checked where it is used
    return isinstance(value, kind)


def is_plain(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(is_plain(entry) for entry in value.values())
    if isinstance(value, (list, tuple, set, frozenset)):
        return all(is_plain(entry) for entry in value)
    return value is None or isinstance(value, (bool, int, float, str, Path))
