"""Change any field of a recipe's tree by its path: `--set train.policy.lr=3e-4`, and `at_scale`.

A path names fields of components, entries of mappings and places in lists, joined by dots. The result is a new tree.
Only what lies on the path is made anew; everything else is the very same object. A component that stands at several
places is replaced only where the path leads; places that one path reaches in several stages or arms and that held one
object hold one object again.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from whet import typed
from whet.describe import children, named
from whet.schedule import Schedule

T = TypeVar("T")
Keys = tuple[str, ...]
_SHOWN = 5  # our choice: how many paths an error suggests
_PARTS = 12  # our choice: how many parts of a component an error lists
_END = "\0"  # where in a nest of keys a value stands; no key of a tree is this


@dataclasses.dataclass(frozen=True)
class _Text:
    """A value as it was typed: JSON, or a bare word."""

    text: str


def override(tree: T, assignments: Sequence[str]) -> T:
    """`tree` with every `path=value` of `assignments` in place; the last one of a path counts. Values are JSON; a bare
    word is text where the field is text. All are set at once, so `low=0.5` and `high=0.9` need no order.

    ValueError for a path that is not there (with the nearest that are), a value of the wrong type, and for whatever the
    component itself refuses.
    """
    return put(tree, dict(_split(assignment) for assignment in assignments))


def put(tree: T, values: Mapping[str, Any]) -> T:
    """`override` with values that are Python's already: `at_scale` of a recipe. A value may be a component here."""
    nest: dict[str, Any] = {}
    for path, value in values.items():
        keys = _resolve(tree, path)
        if keys is None:
            raise ValueError(_unknown(path, list(paths(tree))))
        _nest(nest, keys, path, value)
    return _rebuild(tree, Any, nest, {})


def override_arms(arms: Mapping[str, Sequence[Any]], assignments: Sequence[str]) -> dict[str, list[Any]]:
    """`override` for the arms of a recipe, each a list of stages.

    A path that begins with an arm's name ("gppo.train.policy.lr") applies to that arm, any other to every arm; one that
    goes on with a number ("gppo.0.steps") to the stage at that place, any other to every stage that has it.
    ValueError if none has it.
    """
    return put_arms(arms, dict(_split(assignment) for assignment in assignments))


def put_arms(arms: Mapping[str, Sequence[Any]], values: Mapping[str, Any]) -> dict[str, list[Any]]:
    """`override_arms` with values that are Python's already."""
    nests: dict[tuple[str, int], dict[str, Any]] = {}
    for path, value in values.items():
        found = list(_places(arms, path))
        if not found:
            raise ValueError(_unknown(path, _arm_paths(arms)))
        for place, keys in found:
            _nest(nests.setdefault(place, {}), keys, path, value)
    made: dict[Any, Any] = {}
    return {
        name: [_rebuild(stage, Any, nests.get((name, i), {}), made) for i, stage in enumerate(stages)]
        for name, stages in arms.items()
    }


def where(arms: Mapping[str, Sequence[Any]], assignment: str) -> list[tuple[str, int, Keys]]:
    """(arm, number of the stage, keys that lead there) of every place that a setting "path=value" of `override_arms`
    applies to; none for one that speaks of something else."""
    return [(*place, keys) for place, keys in _places(arms, _split(assignment)[0])]


def paths(tree: Any) -> dict[str, Any]:
    """{path: value} of everything that can be set, parents before their parts."""
    return {path: value for path, value in _settable(tree, Any, "") if path}


def _settable(node: Any, annotation: Any, path: str) -> Iterator[tuple[str, Any]]:
    if typed.settable(annotation, node):
        yield path, node
        if not isinstance(node, (Mapping, Schedule)):
            return  # the items of a plain list are set as a whole
    for key, value in children(node):
        yield from _settable(value, typed.below(annotation, node, key), f"{path}.{key}" if path else key)


def _split(assignment: str) -> tuple[str, _Text]:
    path, equals, text = assignment.partition("=")
    if not equals or not path.strip():
        raise ValueError(f"a setting is path=value, got {assignment!r}: write for example train.policy.lr=3e-4")
    return path.strip(), _Text(text.strip())


def _resolve(node: Any, path: str, annotation: Any = Any) -> Keys | None:
    """The keys that `path` goes through, or None if it leads nowhere. The longest key wins, as keys may hold dots. The
    last key may be a new one of a mapping."""
    for key, value in sorted(children(node), key=lambda child: -len(child[0])):
        if path == key:
            return (key,)
        if path.startswith(key + "."):
            rest = _resolve(value, path[len(key) + 1 :], typed.below(annotation, node, key))
            if rest is not None:
                return (key, *rest)
    if isinstance(node, Mapping) and path and "." not in path:
        try:
            typed.new_key(annotation, path)
        except typed.Misfit:
            return None
        return (path,)
    return None


def _places(arms: Mapping[str, Sequence[Any]], path: str) -> Iterator[tuple[tuple[str, int], Keys]]:
    """Where a path applies. A path of an arm comes before the same path read without an arm."""
    for name in sorted(arms, key=len, reverse=True):
        if path.startswith(name + "."):
            found = list(_stages(name, arms[name], path[len(name) + 1 :]))
            if found:
                yield from found
                return
    for name, stages in arms.items():
        yield from _stages(name, stages, path)


def _stages(name: str, stages: Sequence[Any], path: str) -> Iterator[tuple[tuple[str, int], Keys]]:
    index, _, rest = path.partition(".")
    for i, stage in enumerate(stages):
        keys = _resolve(stage, rest) if index == str(i) else _resolve(stage, path)
        if keys is not None:
            yield (name, i), keys


def _nest(nest: dict[str, Any], keys: Keys, path: str, value: Any) -> None:
    for key in keys:
        if _END in nest:
            break
        nest = nest.setdefault(key, {})
    if nest.keys() - {_END} or (_END in nest and nest[_END][2] != keys):
        raise ValueError(f"{path} is set as a whole and in part at once: set one of them")
    nest[_END] = (path, value, keys)


def _ends(nest: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The paths, as they were given, and the values below a nest."""
    for key, part in nest.items():
        if key == _END:
            yield part[0], part[1]
        else:
            yield from _ends(part)


def _rebuild(node: Any, annotation: Any, nest: dict[str, Any], made: dict[Any, Any]) -> Any:
    """`node` with the values of `nest` in place. `made` keeps what was built from which object with which values, so
    that one object stays one."""
    if not nest:
        return node
    if _END in nest:
        return _value(node, annotation, *nest[_END][:2])
    mark = (id(node), repr(annotation), _mark(nest))
    if mark not in made:
        old = dict(children(node))
        new = {
            key: _rebuild(old.get(key), typed.below(annotation, node, key), part, made) for key, part in nest.items()
        }
        try:
            made[mark] = _with(node, annotation, new)
        except (ValueError, TypeError) as error:
            given = ", ".join(f"{path}={_said(value)}" for path, value in _ends(nest))
            raise ValueError(f"{given} is refused: {error}") from error
    return made[mark]


def _mark(nest: dict[str, Any]) -> str:
    return repr([(key, repr(part[1]) if key == _END else _mark(part)) for key, part in sorted(nest.items())])


def _with(node: Any, annotation: Any, new: dict[str, Any]) -> Any:
    """`node` with `new` in the place of its children of these names."""
    if dataclasses.is_dataclass(node) and not isinstance(node, type):
        return dataclasses.replace(node, **new)
    if isinstance(node, Mapping):
        names = {str(key): key for key in node}
        added = {key: typed.new_key(annotation, key) for key in new if key not in names}
        return dict(node) | {(names | added)[key]: value for key, value in new.items()}
    items = [new.get(key, item) for key, item in children(node)]
    kind: Any = type(node)
    return kind(*items) if hasattr(node, "_fields") else kind(items)


def _value(old: Any, annotation: Any, path: str, value: Any) -> Any:
    """`value` as the field at `path`, which holds `old`, wants it."""
    if annotation is Any and isinstance(old, (bool, int, float)):
        annotation = bool if isinstance(old, bool) else int | float  # nothing else is known of it
    replaceable = typed.settable(annotation, old)
    for candidate in _read(value):
        empty = candidate is None or (candidate in ([], {}) and isinstance(old, type(candidate) | tuple))
        if replaceable or empty or not typed.is_plain(candidate):
            try:
                return typed.fit(annotation, candidate)
            except typed.Misfit:
                continue
    if replaceable or old is None:
        raise ValueError(f"{path} takes {typed.say(annotation)}, got {_said(value)}")
    parts = [f"{path}.{part}" for part in paths(old)]
    more = f" and {len(parts) - _PARTS} more" if len(parts) > _PARTS else ""
    do = f"set one of its parts: {', '.join(parts[:_PARTS])}{more}" if parts else "change it in a recipe of your own"
    raise ValueError(f"{path} holds {_kind(old)}, which {_said(value)} can not replace: {do}")


def _read(value: Any) -> list[Any]:
    """What a value as typed may mean: JSON first, else the bare word."""
    if not isinstance(value, _Text):
        return [value]
    try:
        return [json.loads(value.text), value.text]
    except (ValueError, RecursionError):
        return [value.text]


def _said(value: Any) -> str:
    return value.text if isinstance(value, _Text) else repr(value)


def _kind(old: Any) -> str:
    if isinstance(old, (Mapping, list, tuple)):
        return "several components"
    return named(old if callable(old) and hasattr(old, "__name__") else type(old))


def _unknown(path: str, known: list[str]) -> str:
    last = path.rpartition(".")[2]
    close = difflib.get_close_matches(path, known, n=_SHOWN) or difflib.get_close_matches(path, known, cutoff=0)
    same = [name for name in known if name.rpartition(".")[2] == last]
    similar = difflib.get_close_matches(last, {name.rpartition(".")[2] for name in known}, n=1, cutoff=0.7)
    same += [name for name in known if name.rpartition(".")[2] in similar]
    nearest = list(dict.fromkeys(close[:1] + same + close))[:_SHOWN]
    return f"there is no {path} to set: the nearest are {', '.join(nearest) or 'none, as nothing can be set here'}"


def _arm_paths(arms: Mapping[str, Sequence[Any]]) -> list[str]:
    known: dict[str, None] = {}
    for stages in arms.values():
        for stage in stages:
            known |= dict.fromkeys(paths(stage))
    for name, stages in arms.items():
        known |= {f"{name}.{path}": None for stage in stages for path in paths(stage)}
    return list(known)
