"""The results of all recipes as one page: what each paper adds, what it claims, and what was measured here.

Made from `results/*.json` alone, so that anyone can make it again. What did not reproduce stays in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from whet.files import read_json
from whet.report import cell, fitting, p_value

HEADER = ("recipe", "paper", "effect (95 %)", "verdict", "date")
_NO_CLAIM = "a comparison, no claim"

Held = Mapping[str, Any]  # a results file


def read_all(folder: Path) -> list[Held]:
    """Every results file of a folder, papers first, by their number; not what another command measured and says so
    ("command": "make bench"). ValueError for a file that is neither."""
    found = []
    for file in sorted(folder.glob("*.json")):
        held = read_json(file)
        if isinstance(held, dict) and "command" in held:
            continue
        if not (isinstance(held, dict) and held.get("runs") and "recipe" in held):
            raise ValueError(f"{file} is no result of `whet reproduce`: remove it, or run the recipe again")
        found.append(held)
    return sorted(found, key=lambda held: ((held.get("paper") or {}).get("id", "~"), held["recipe"]))


def rows(every: Sequence[Held]) -> list[tuple[str, ...]]:
    """A line of `HEADER`'s columns per recipe: its newest run, and its first finding."""
    return [_row(held) for held in every]


def _row(held: Held) -> tuple[str, ...]:
    run, paper = held["runs"][-1], held.get("paper") or {}
    found = run["findings"]
    effect = "; ".join(cell(f["measure"], f["difference"], change=True) for f in found)
    return held["recipe"], paper.get("name", ""), effect, run["verdict"] or _NO_CLAIM, run["date"]


def page(every: Sequence[Held], waiting: Sequence[str] = ()) -> str:
    """The whole page in Markdown. `waiting`: recipes that have no result yet."""
    said = [
        "# Catalogue",
        "Every recipe that `whet reproduce` has run: the paper's claim, run against its baseline over seeds on a CPU, "
        "and what came of it. A claim that did not hold stays here. How claims are judged: "
        "[Claims and verdicts](decisions/claims.md). The page is made from the files in `results/` by "
        "`whet report --docs docs/catalogue.md`; those hold every run with its values per seed.",
        _table(HEADER, *(_linked(row) for row in rows(every))),
    ]
    if waiting:
        said.append(f"Not run yet: {', '.join(f'`{slug}`' for slug in waiting)}.")
    return "\n\n".join([*said, *(_section(held) for held in every)]) + "\n"


def _linked(row: tuple[str, ...]) -> tuple[str, ...]:
    return (f"[{row[0]}](#{row[0]})", *row[1:])


def _section(held: Held) -> str:
    run, paper = held["runs"][-1], held.get("paper") or {}
    told = [f"## {held['recipe']}", _plain(held.get("summary", ""))]
    if paper:
        told.append(f"- paper: {_plain(paper['name'])} ({paper['id']})\n- claim: {_plain(paper['claim'])}")
    facts = [f"- components: {', '.join(f'`{name}`' for name in held['components'])}"] if held.get("components") else []
    facts += [f"- again: `{run['command']}` ({run['seconds'] / 60:.0f} minutes, {run['date']})"]
    facts += [f"- verdict: **{run['verdict']}**"] if run["verdict"] else []
    facts += [f"- earlier runs in `results/{held['recipe']}.json`: {_earlier(held)}"] if len(held["runs"]) > 1 else []
    told.append("\n".join(facts))
    if run["findings"]:
        lines = [_finding(found) for found in run["findings"]]
        told.append(_table(("finding", "difference (95 %)", "p", "verdict"), *lines))
    names = list(dict.fromkeys(name for arm in run["arms"].values() for name in arm if name != "seeds"))
    arms = []
    for arm, found in run["arms"].items():
        cells = [cell(name, found[name]) if name in found else "" for name in names]
        arms.append((arm, str(len(found["seeds"])), f"{run['tokens'][arm] / 1000:.0f}k", *cells))
    told.append(_table(*fitting(("arm", "seeds", "tokens", *names), arms)))
    if against := run["against_first"]:
        first = next(iter(run["arms"]))
        lines = [(arm, *(cell(name, of[name], change=True) for name in names)) for arm, of in against.items()]
        told += [f"Against {first}, paired by seed and problem:", _table(*fitting(("arm", *names), lines))]
    return "\n\n".join(part for part in told if part)


def _earlier(held: Held) -> str:
    return ", ".join(f"{run['date']} {run['verdict'] or ''}".strip() for run in held["runs"][:-1])


def _finding(found: Mapping[str, Any]) -> tuple[str, ...]:
    more = f" (about {found['seeds']} seeds would settle it)" if found["seeds"] else ""
    more += "" if found.get("counts", True) else "; does not count"
    change = cell(found["measure"], found["difference"], change=True)
    return found["statement"], change, p_value(found["difference"]["p"]), f"{found['verdict']}{more}"


def _table(header: Sequence[str], *lines: Sequence[str]) -> str:
    body = [header, ["---"] * len(header), *lines]
    return "\n".join("| " + " | ".join(_plain(text) for text in line) + " |" for line in body)


def _plain(text: str) -> str:
    """On one line, and no bar that would end a cell of a table."""
    return " ".join(str(text).split()).replace("|", "\\|")
