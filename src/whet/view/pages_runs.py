"""The pages about whole runs: all of them, several compared, one with its curves."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.datastructures import QueryParams

from whet.report import rows as report_rows
from whet.view import curves
from whet.view.folders import Missing, Told
from whet.view.site import Page, Site
from whet.view.text import plain

_MOST = 60  # our choice: runs that are compared at once
_STATES = ("running", "done", "stopped", "empty")


def runs(site: Site, query: QueryParams) -> Page:
    """A line per run, newest first."""
    wanted, state = query.get("q", "").strip().lower(), query.get("state", "")
    told = [site.runs.told(name) for name in site.runs.all() if wanted in name.lower()]
    counts = {state: sum(run.state == state for run in told) for state in _STATES}
    told = [run for run in told if state in ("", run.state)]
    lines = sorted((_line(run) for run in told), key=lambda line: -line["when"])
    claims = site.claims({run.slug for run in told})
    where = [str(root) for root in site.runs.roots]
    values = {"lines": lines, "q": query.get("q", ""), "state": state, "counts": counts, "claims": claims}
    return Page("runs.html", "Runs", {**values, "where": where, "all": len(site.runs.all())}, part="_runs.html")


def _line(run: Told) -> dict[str, Any]:
    rewards = [v for line in run.lines if (v := curves.number(line.get("reward/mean"))) is not None]
    files = [run.folder / name for name in ("report.json", "metrics.jsonl", "recipe.json")]
    when = max((file.stat().st_mtime for file in files if file.exists()), default=0.0)
    sides = [(run.report.get(side) or {}).get("pass@1") or {} for side in ("before", "after")]
    passes = [side.get("value") if isinstance(side, dict) else None for side in sides]
    return {
        "run": run,
        "where": where(run),
        "reward": rewards[-1] if rewards else None,
        "spark": curves.spark(rewards),
        "passes": [100 * v if (v := curves.number(p)) is not None else None for p in passes],
        "tokens": run.last("tokens"),
        "when": when,
        "ago": _ago(time.time() - when) if when else "",
        "alerts": sum(len(_alerts_in(line)) for line in run.lines),
    }


def run(site: Site, query: QueryParams) -> Page:
    """One run: where it stands, its alerts, its curves by stage, what it came to, how it was made."""
    told = site.runs.told(query.get("run", ""))
    parts = curves.stages(told.lines)
    labels = [label for label, _ in parts]
    usual = next((label for label in reversed(labels) if label.startswith("rl")), labels[-1] if labels else "")
    stage = query.get("stage", "") if query.get("stage", "") in labels else usual
    lines = next((lines for label, lines in parts if label == stage), [])
    drawn = curves.one(_aged(site, told.name, lines))
    values = {
        "told": told,
        "where": where(told),
        "stages": labels,
        "stage": stage,
        "charts": drawn,
        "curves": json.dumps(drawn),
        "alerts": alerts(told),
        "report": _report(told),
        "settings": list(flat(told.recipe).items()),
        "env": list(flat(told.env).items()),
    }
    return Page("run.html", f"{plain(told.name)}", values, part="_live.html")


def _aged(site: Site, name: str, lines: Sequence[curves.Line]) -> Sequence[curves.Line]:
    """The log of a stage with its staleness: updates between the weights that played a step and the newest."""
    if not lines or not isinstance(lines[-1].get("number"), int):
        return lines
    sql = "SELECT step, avg(step - version) AS age FROM attempts WHERE stage = ? AND version >= 0 GROUP BY step"
    found = site.index(name).ask(sql, [lines[-1]["number"]])
    return curves.added(lines, "staleness", {row["step"]: row["age"] for row in found})


def compare(site: Site, query: QueryParams) -> Page:
    """Several runs in the same plots; those that differ in their seed only are one curve with a band."""
    names = list(dict.fromkeys(query.getlist("run")))
    if not names:
        raise Missing("choose runs to compare on the page of runs")
    told = [site.runs.told(name) for name in names[:_MOST]]
    arms: dict[str, list[Told]] = {}
    for run in told:
        arms.setdefault(run.same_arm, []).append(run)
    logs = {arm: [_compared(site, run) for run in of] for arm, of in arms.items()}
    drawn = curves.several(logs)
    values = {
        "arms": {arm: [run.name for run in of] for arm, of in arms.items()},
        "charts": drawn,
        "curves": json.dumps(drawn),
        "different": different(arms),
        "results": _results(arms),
        "claims": site.claims({run.slug for run in told}),
        "left": len(names) - len(told),
    }
    return Page("compare.html", f"{len(told)} runs", values)


def different(arms: Mapping[str, Sequence[Told]]) -> list[tuple[str, list[str]]]:
    """(setting, its value in each arm) of those that are not the same in all; seeds aside."""
    sides = []
    for of in arms.values():
        by: dict[str, dict[str, None]] = {}
        for run in of:
            for path, value in flat(run.recipe).items():
                by.setdefault(path, {})[value] = None
        sides.append({path: " | ".join(values) for path, values in by.items()})
    paths = dict.fromkeys(path for side in sides for path in side)
    hidden = ("seed", "order.seed", "fingerprint")
    rows = [(path, [side.get(path, "") for side in sides]) for path in paths if path not in hidden]
    return [(path, values) for path, values in rows if len(set(values)) > 1]


def _results(arms: Mapping[str, Sequence[Told]]) -> list[tuple[str, list[str]]]:
    """(metric, what each arm came to: the mean over its seeds, and how many there are)."""
    by = [[(run.report.get("after") or {}) for run in of] for of in arms.values()]
    metrics = dict.fromkeys(
        metric for reports in by for report in reports if isinstance(report, dict) for metric in report
    )
    rows = []
    for metric in metrics:
        cells = []
        for reports in by:
            held = [report.get(metric) for report in reports if isinstance(report, dict)]
            known = [v for one in held if isinstance(one, dict) and (v := curves.number(one.get("value"))) is not None]
            cells.append(f"{sum(known) / len(known):.4g} ({len(known)} run{'s' * (len(known) > 1)})" if known else "")
        rows.append((metric, cells))
    return rows


def _compared(site: Site, run: Told) -> Sequence[curves.Line]:
    """The log of its last RL stage; rollouts are read only of a run that plays ahead, all others have no staleness."""
    ahead = any(path.rpartition(".")[2] == "ahead" and value != "0" for path, value in flat(run.recipe).items())
    return _aged(site, run.name, _last_stage(run)) if ahead else _last_stage(run)


def _last_stage(run: Told) -> Sequence[curves.Line]:
    parts = curves.stages(run.lines)
    return next((lines for label, lines in reversed(parts) if label.startswith("rl")), parts[-1][1] if parts else [])


def where(run: Told) -> str:
    """ "rl, step 12": the last line of its log."""
    if not run.lines:
        return ""
    last = run.lines[-1]
    return f"{last.get('stage', 'training')}, step {last.get('step', len(run.lines))}"


def alerts(run: Told) -> list[dict[str, Any]]:
    """Each message once, the newest first: {"name", "message", "first", "last", "count"}."""
    by: dict[tuple[str, str], dict[str, Any]] = {}
    for line in run.lines:
        for alert in _alerts_in(line):
            key = (str(alert.get("name", "")), str(alert.get("message", "")))
            told = by.setdefault(key, {"name": key[0], "message": key[1], "first": line.get("step"), "count": 0})
            told |= {"last": line.get("step"), "count": told["count"] + 1}
    return list(by.values())[::-1]


def _alerts_in(line: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = line.get("alerts")
    return [alert for alert in found if isinstance(alert, dict)] if isinstance(found, list) else []


def _report(run: Told) -> list[tuple[str, ...]]:
    try:
        return report_rows(run.report)
    except (TypeError, AttributeError, ValueError):  # another format than today's
        return []


def flat(value: Any, path: str = "") -> dict[str, str]:
    """A tree as {path: value in words}; a list of plain values is one value."""
    if isinstance(value, dict) and value:
        out: dict[str, str] = {}
        for key, entry in value.items():
            out |= flat(entry, f"{path}.{key}" if path else str(key))
        return out
    if isinstance(value, list) and any(isinstance(entry, (dict, list)) for entry in value):
        out = {}
        for i, entry in enumerate(value):
            out |= flat(entry, f"{path}.{i}")
        return out
    return {path: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}


def _ago(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit} ago"
    return "now" if seconds < 10 else f"{seconds:.0f} s ago"
