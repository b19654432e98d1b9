"""A recipe as lines of text: every path of its tree with what stands there, and what two arms differ in."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from whet.describe import children, named
from whet.recipe import Recipe
from whet.settings import paths

_SHORT = 80  # our choice: characters of a value


def outline(recipe: Recipe, arms: Sequence[str]) -> list[str]:
    """The model, and each stage of each arm: one line per path. Of several arms, the first whole, then what differs."""
    lines = ["model", *_lines(_flat(recipe.model))]
    for name in arms[:1] if len(arms) > 1 else arms:
        for number, stage in enumerate(recipe.arms[name]):
            lines += ["", f"arm {name}, stage {number}: {type(stage).__name__}", *_lines(_flat(stage))]
    for name in arms[1:]:
        lines += ["", f"arm {name}: as {arms[0]}, but", *differences(recipe, arms[0], name)]
    for evaluation in recipe.evaluate:
        lines += ["", f"evaluated before and after: {evaluation.name}", *_lines(_flat(evaluation))]
    if recipe.at_scale:
        lines += ["", "with --model", *_lines({path: json.dumps(value) for path, value in recipe.at_scale.items()})]
    return lines


def differences(recipe: Recipe, first: str, second: str) -> list[str]:
    """What stands at the paths where two arms are not the same, as "path  first  ->  second"."""
    a, b = (_arm(recipe.arms[name]) for name in (first, second))
    if len(recipe.arms[first]) == len(recipe.arms[second]) == 1:  # no need to say which stage
        a, b = ({path.partition(".")[2] or "stage": said for path, said in arm.items()} for arm in (a, b))
    apart = [path for path in dict.fromkeys([*a, *b]) if a.get(path) != b.get(path)]
    shown = {path: f"{a.get(path, 'not there')}  ->  {b.get(path, 'not there')}" for path in apart}
    return _lines(shown) or [f"  nothing: {first} and {second} are the same"]


def _arm(stages: Sequence[Any]) -> dict[str, str]:
    """{"number.path": what stands there} over all stages; the stage itself is its number."""
    out = {}
    for number, stage in enumerate(stages):
        out[str(number)] = f"({type(stage).__name__})"
        out |= {f"{number}.{path}": said for path, said in _flat(stage).items()}
    return out


def _flat(node: Any) -> dict[str, str]:
    """{path: what stands there}: a value in JSON, or a component's name in brackets."""
    plain = paths(node)

    def walk(part: Any, path: str) -> Iterator[tuple[str, str]]:
        below = children(part)
        if path in plain and not (isinstance(part, Mapping) and below):
            yield path, _short(json.dumps(plain[path], default=repr, ensure_ascii=False))
            return
        if part is None or (isinstance(part, (Mapping, list, tuple)) and not part):
            yield path, "(none)"
        elif path and not isinstance(part, (Mapping, list, tuple)):
            yield path, f"({named(part if hasattr(part, '__name__') else type(part))})"
        for key, child in below:
            yield from walk(child, f"{path}.{key}" if path else key)

    return dict(walk(node, ""))


def _lines(said: Mapping[str, str]) -> list[str]:
    width = max(map(len, said), default=0)
    return [f"  {path:{width}}  {value}" for path, value in said.items()]


def _short(text: str) -> str:
    return text if len(text) <= _SHORT else f"{text[:_SHORT]} ..."
