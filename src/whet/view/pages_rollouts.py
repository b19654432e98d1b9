"""The pages about what was played: attempts to search, a step, a group, one problem over the run, tokens."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.datastructures import QueryParams

from whet.view import search, tokens
from whet.view.folders import Missing
from whet.view.index import Index
from whet.view.pages_runs import flat
from whet.view.site import Page, Site
from whet.view.words import words_of

_MORE = 20_000  # our choice: characters that a button for more brings
_ATTEMPTS = 4000  # our choice: of one problem


def rollouts(site: Site, query: QueryParams) -> Page:
    """Attempts to search, filter and sort."""
    told = site.runs.told(query.get("run", ""))
    index = site.index(told.name)
    filter = search.of(query)
    found = search.found(index, filter)
    spoken = list(dict.fromkeys(word for name in index.verified for word in search.words(index, f"outcome/{name}")))
    values = {
        "told": told,
        "filter": filter,
        "asked": filter.asked,
        "found": found,
        "index": index,
        "outcomes": spoken,
        "stops": search.words(index, "stop"),
        "groups": search.words(index, "group"),
        "sorts": list(search.SORTS),
        "places": list(search.WHERE),
        "scale": index.scale(),
    }
    return Page("rollouts.html", f"{told.name}: rollouts", values, part="_found.html")


def step(site: Site, query: QueryParams) -> Page:
    """Problems x attempts at one step, the newest unless another is named."""
    told = site.runs.told(query.get("run", ""))
    index = site.index(told.name, 2.0)
    steps = index.ask("SELECT DISTINCT stage, step FROM attempts ORDER BY stage, step")
    every = [(row["stage"], row["step"]) for row in steps]
    here = (_whole(query, "stage", -1), _whole(query, "step", -1)) if "step" in query else every[-1] if every else None
    if here is not None and here not in every:
        raise Missing(f"there are no rollouts of stage {here[0]}, step {here[1]}")
    groups = _groups(index, "stage = ? AND step = ?", list(here)) if here else []
    place = every.index(here) if here else 0
    values = {
        "told": told,
        "index": index,
        "here": here,
        "first": every[0] if every else None,
        "before": every[place - 1] if here and place else None,
        "after": every[place + 1] if here and place + 1 < len(every) else None,
        "last": every[-1] if every else None,
        "groups": groups,
        "scale": index.scale(),
    }
    return Page("step.html", f"{told.name}: a step", values)


def problem(site: Site, query: QueryParams) -> Page:
    """All groups of one problem, in the order of the run."""
    told = site.runs.told(query.get("run", ""))
    index = site.index(told.name, 2.0)
    name = query.get("problem", "")
    groups = _groups(index, "problem = ?", [name])
    if not groups:
        raise Missing(f"no attempt at {name!r} has been read in this run")
    drawn = [
        _over_steps("reward", "Reward", "mean of the group", groups, "reward"),
        _over_steps("length", "Length", "sampled tokens", groups, "length"),
    ]
    values = {"told": told, "index": index, "name": name, "groups": groups, "scale": index.scale()}
    return Page("problem.html", f"{told.name}: {name}", {**values, "charts": drawn, "curves": json.dumps(drawn)})


def group(site: Site, query: QueryParams) -> Page:
    """Siblings side by side."""
    told, index, key = _place(site, query)
    attempts = _siblings(index, key)
    file = index.file_of(key["stage"], key["step"])
    assert file is not None
    texts: dict[int, list[Any]] = {one["attempt"]: [] for one in attempts}
    for line in tokens.attempt_rows(file, **key, texts=True):
        texts.setdefault(line["attempt"], []).append(line)
    values = {"told": told, "index": index, "key": key, "attempts": attempts, "texts": texts}
    values |= {"stats": _spread(attempts), "scale": index.scale(), "way": _way(told.recipe, key["stage"])}
    return Page("group.html", f"{told.name}: a group", values)


def one(site: Site, query: QueryParams) -> Page:
    """One attempt, every token with all that was kept of it."""
    told, index, key = _place(site, query)
    number, most = _whole(query, "attempt", 0), max(1, _whole(query, "most", tokens.MOST))
    attempts = _siblings(index, key)
    mine = next((one for one in attempts if one["attempt"] == number), None)
    file = index.file_of(key["stage"], key["step"])
    if mine is None or file is None:
        raise Missing("there is no such attempt")
    words = words_of(told.folder)
    rows = [tokens.shown(line, words, most) for line in tokens.attempt_rows(file, **key, attempt=number)]
    names = list(dict.fromkeys(name for row in rows for name in row.arrays))
    places = [one["attempt"] for one in attempts]
    at = places.index(number)
    values = {
        "told": told,
        "index": index,
        "key": key,
        "attempts": attempts,
        "mine": mine,
        "rows": rows,
        "most": most,
        "names": [(name, tokens.NAMES.get(name, name)) for name in names],
        "colour": query.get("colour") if query.get("colour") in (*names, "who") else (names or ["who"])[0],
        "data": json.dumps([{"ids": row.ids, "arrays": row.arrays} for row in rows]),
        "scales": json.dumps(tokens.SCALES),
        "labels": json.dumps(tokens.NAMES),
        "textless": words.tokenizer is None,
        "stats": _spread(attempts),
        "way": _way(told.recipe, key["stage"]),
        "before": places[at - 1] if at else None,
        "after": places[at + 1] if at + 1 < len(places) else None,
        "scale": index.scale(),
    }
    return Page("tokens.html", f"{told.name}: tokens", values)


def text(site: Site, query: QueryParams) -> Page:
    """The next part of a long text, for a button for more."""
    _, index, key = _place(site, query)
    file = index.file_of(key["stage"], key["step"])
    field = query.get("field", "text")
    if file is None or field not in ("text", "prompt", "answer", "error"):
        raise Missing("there is no such text")
    lines = tokens.attempt_rows(file, **key, attempt=_whole(query, "attempt", 0), texts=True)
    line = next((line for line in lines if (line.get("row") or 0) == _whole(query, "row", 0)), None)
    if line is None:
        raise Missing("there is no such row")
    whole, start = str(line.get(field) or ""), max(0, _whole(query, "from", 0))
    left = max(0, len(whole) - start - _MORE)
    values = {"said": whole[start : start + _MORE], "left": left, "query": {**query, "from": str(start + _MORE)}}
    return Page("_text.html", "text", values)


def _place(site: Site, query: QueryParams) -> tuple[Any, Index, dict[str, Any]]:
    told = site.runs.told(query.get("run", ""))
    key: dict[str, Any] = {
        "stage": _whole(query, "stage", -1),
        "step": _whole(query, "step", -1),
        "slot": _whole(query, "slot", -1),
    }
    key["group"] = query.get("group", "")
    index = site.index(told.name)
    while index.waiting and index.file_of(key["stage"], key["step"]) is None:
        index.refresh(1.0)
    if index.file_of(key["stage"], key["step"]) is None:
        raise Missing(f"there are no rollouts of stage {key['stage']}, step {key['step']}")
    return told, index, key


def _siblings(index: Index, key: Mapping[str, Any]) -> list[dict[str, Any]]:
    sql = 'SELECT * FROM attempts WHERE stage = ? AND step = ? AND slot = ? AND "group" = ? ORDER BY attempt'
    found = index.ask(sql, [key[name] for name in ("stage", "step", "slot", "group")])
    if not found:
        raise Missing("there is no such group")
    return found


def _groups(index: Index, clause: str, values: Sequence[Any]) -> list[dict[str, Any]]:
    """{"stage", "step", "slot", "group", "problem", "prompt", "attempts", "mean", "std", "length", "kept"} of each."""
    columns = 'stage, step, slot, "group", attempt, problem, reward, length, stop, kept, advantage, rows'
    cut = "substr(prompt, 1, 200) AS prompt, substr(text, 1, 200) AS text"
    spoken = ", ".join(["", *(search.quoted(f"outcome/{name}") for name in index.verified)])
    sql = (
        f'SELECT {columns}, {cut}{spoken} FROM attempts WHERE {clause} ORDER BY stage, step, slot, "group", attempt '
        f"LIMIT {_ATTEMPTS}"
    )
    by: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in index.ask(sql, values):
        by.setdefault(tuple(row[name] for name in ("stage", "step", "slot", "group")), []).append(row)
    shared = ("stage", "step", "slot", "group", "problem", "prompt")
    return [{**{name: of[0][name] for name in shared}, "attempts": of, **_spread(of)} for of in by.values()]


def _spread(attempts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Mean and population standard deviation of the rewards that are known, mean length."""
    known = [one["reward"] for one in attempts if one["reward"] is not None]
    lengths = [one["length"] for one in attempts if one["length"] is not None]
    return {
        "mean": statistics.fmean(known) if known else None,
        "std": statistics.pstdev(known) if known else None,
        "length": statistics.fmean(lengths) if lengths else None,
        "kept": any(one["kept"] for one in attempts),
    }


def _over_steps(key: str, title: str, unit: str, groups: Sequence[Any], name: str) -> dict[str, Any]:
    by: dict[int, list[float]] = {}
    for group in groups:
        by.setdefault(group["step"], []).extend(one[name] for one in group["attempts"] if one[name] is not None)
    xs = sorted(x for x, values in by.items() if values)
    series = [("mean", statistics.fmean), ("least", min), ("largest", max)]
    told = [{"label": label, "y": [float(f(by[x])) for x in xs]} for label, f in series]
    told = [{**told[0], "low": told[1]["y"], "high": told[2]["y"]}]
    return {"key": key, "title": title, "unit": unit, "x": xs, "series": told}


def _way(recipe: Mapping[str, Any], stage: int) -> dict[str, str]:
    """The advantage of a stage and its fields, as the recipe has them: what turned rewards into advantages. A run
    numbers the evaluations before its arm's stages, too."""
    stages, before = recipe.get("stages"), recipe.get("evaluate")
    place = stage - (len(before) if isinstance(before, list) else 0)
    told = stages[place] if isinstance(stages, list) and 0 <= place < len(stages) else None
    return flat(told.get("advantage")) if isinstance(told, dict) and told.get("advantage") else {}


def _whole(query: QueryParams, name: str, usual: int) -> int:
    text = query.get(name, "")
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdecimal() and len(digits) < 10 else usual
