"""The page about verifiers: what they said over the run, what was slow or failed, where a hidden one disagrees."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from starlette.datastructures import QueryParams

from whet.files import read_json
from whet.view import curves, search
from whet.view.index import Index
from whet.view.site import Page, Site

_CASES = 40  # our choice: of each kind


def verifiers(site: Site, query: QueryParams) -> Page:
    """What verifiers said over the run, what made them stop, and where a hidden one disagrees."""
    told = site.runs.told(query.get("run", ""))
    index = site.index(told.name, 2.0)
    lines = [line for _, part in curves.stages(told.lines)[-1:] for line in part]
    drawn = [chart for chart in curves.one(lines) if chart["key"] in ("outcomes", "hidden")]
    kinds = []
    for word in ("timed out", "crashed", "failed"):
        spoken = search.found(index, search.Filter(outcome=word))
        kinds.append((word, spoken["total"], spoken["rows"][:_CASES]))
    errors = index.ask("SELECT count(*) AS n FROM attempts WHERE error IS NOT NULL")[0]["n"]
    sql = f"SELECT * FROM attempts WHERE error IS NOT NULL ORDER BY stage DESC, step DESC LIMIT {_CASES}"
    kinds.append(("environment or tool failed", errors, index.ask(sql)))
    counts = {name: _counts(index, name) for name in index.verified}
    worst = _worst(told.folder)
    slowest = {name: _slowest(index, name) for name in index.timed}
    values = {"told": told, "index": index, "charts": drawn, "curves": json.dumps(drawn), "kinds": kinds}
    values |= {"worst": worst, "slowest": slowest, "counts": counts, "scale": index.scale()}
    return Page("verifiers.html", f"{told.name}: verifiers", values)


def _worst(folder: Path) -> list[dict[str, Any]]:
    """The newest cases in which a hidden verifier says less than the reward, by how much less: what the callback
    `SecondVerifier` wrote."""
    found: list[dict[str, Any]] = []
    for file in sorted((folder / "hidden").glob("*.json"), reverse=True)[:_CASES]:
        stage, _, step = file.stem.partition("-")
        try:
            held = read_json(file)
            place = {"stage": int(stage), "step": int(step)}
            found += [
                {**place, **{name: case[name] for name in ("problem", "slot", "group", "attempt", "seen", "hidden")}}
                for case in held
                if case["seen"] - case["hidden"] > 0
            ]
        except (ValueError, OSError, TypeError, KeyError, RecursionError):
            continue  # not as the callback writes it
    return sorted(found, key=lambda case: case["hidden"] - case["seen"])[:_CASES]


def _slowest(index: Index, name: str) -> list[dict[str, Any]]:
    """The attempts over which a verifier took longest, with its "seconds" and "word"."""
    took = search.quoted(f"seconds/{name}")
    word = search.quoted(f"outcome/{name}") if name in index.verified else "NULL"
    sql = f"SELECT *, {took} AS seconds, {word} AS word FROM attempts WHERE {took} > 0 ORDER BY {took} DESC LIMIT 10"
    return index.ask(sql)


def _counts(index: Index, name: str) -> list[tuple[str, int]]:
    column = search.quoted(f"outcome/{name}")
    sql = f"SELECT {column} AS word, count(*) AS n FROM attempts WHERE {column} IS NOT NULL GROUP BY 1 ORDER BY 2 DESC"
    return [(row["word"], row["n"]) for row in index.ask(sql)]
