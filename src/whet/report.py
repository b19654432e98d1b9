"""A run folder as a page to read: `report.md` with a before/after table, and plots beside it.

It is made from what the run wrote down, `metrics.jsonl` and `report.json` (with `recipe.json` and `env.json` where they
are), so it can be made again at any time, and for a run that was stopped half-way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from whet.files import read_json, read_lines, write_text
from whet.metrics import plots

HEADER = ("metric", "before", "after", "difference", "p")

Line = Mapping[str, Any]


def write_report(run_folder: str | Path) -> Path:
    """Write `report.md` and `plots/*.png` into a run folder; the path of `report.md`. What the run did not measure is
    left out. ValueError if the folder is none, or a file in it holds no JSON."""
    folder = Path(run_folder)
    if not folder.is_dir():
        raise ValueError(f"there is no run folder {folder}: give the folder that a run made")
    lines = [line for line in read_lines(folder / "metrics.jsonl") if isinstance(line, dict)]
    report, recipe, env = (_optional(folder / name) for name in ("report.json", "recipe.json", "env.json"))
    drawn = plots.draw_all(folder / "plots", lines, report)
    parts = [f"# {_title(recipe, folder)}", _summary(recipe), _state(lines, report), _table(report), _stages(lines)]
    parts += [f"![{name.replace('_', ' ')}](plots/{name}.png)" for name in drawn]
    parts.append(_environment(env))
    path = folder / "report.md"
    write_text(path, "\n\n".join(part for part in parts if part) + "\n")
    return path


def rows(report: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The table of a `report.json`, one tuple of `HEADER`'s columns per metric: ("pass@1", "31.2 % [27.0, 35.5]",
    "58.0 % [53.1, 62.9]", "+26.8 points [21.0, 32.4]", "< 0.001"). A cell without a value is empty."""
    sides = [report.get(name) or {} for name in ("before", "after", "difference")]
    table = []
    for metric in dict.fromkeys(name for side in sides for name in side):
        before, after, difference = (side.get(metric) or {} for side in sides)
        cells = (cell(metric, before), cell(metric, after), cell(metric, difference, change=True))
        table.append((metric, *cells, p_value(difference.get("p"))))
    return table


def cell(metric: str, estimate: Mapping[str, Any], change: bool = False) -> str:
    """A value with its interval and unit: "31.2 % [27.0, 35.5]"; a `change` has a sign and is in points."""
    share, change = is_share(metric), change or is_change(metric)
    unit = ("points" if change else "%") if share else _unit(metric)
    return _cell(estimate, unit, share, sign="+" if change else "")


def fitting(header: Sequence[str], lines: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    """Header and lines of a table; of one with more than 9 columns, lines and columns exchanged, so that it fits a
    page: 9 is our choice."""
    table = [header, *lines]
    return list(zip(*table, strict=True)) if len(header) > 9 else table


def is_share(metric: str) -> bool:
    """Whether a metric is shown in per cent. A crossing point ("k* of pass@k") is a number of attempts."""
    words = metric.replace("/", " ").split()
    return "k*" not in words and any(
        word.startswith(("pass@", "CoT-pass@")) or word in ("accuracy", "correct") or word.endswith("share")
        for word in words
    )


def is_change(metric: str) -> bool:
    """Whether a metric is the difference of two (`metrics.measures.Rise`), and so may be below 0."""
    return " above " in metric


def _cell(estimate: Mapping[str, Any], unit: str, share: bool, sign: str = "") -> str:
    value, low, high = (estimate.get(name) for name in ("value", "low", "high"))
    if value is None:
        return ""
    scale = 100.0 if share else 1.0
    digits = 1 if share or abs(value) >= 10 else 2 if abs(value) >= 1 else 3

    def text(number: float, sign: str = "") -> str:
        rounded = round(number * scale, digits) + 0.0  # no "-0.0"
        return f"{rounded:{sign}.{digits}f}"

    ends = "" if low is None or high is None else f" [{text(low)}, {text(high)}]"
    return f"{text(value, sign)}{' ' if unit else ''}{unit}{ends}"


def _unit(metric: str) -> str:
    return "tokens" if "length" in metric else ""


def p_value(p: float | None) -> str:
    if p is None:
        return ""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _optional(path: Path) -> dict[str, Any]:
    value = read_json(path) if path.exists() else {}
    return value if isinstance(value, dict) else {}


def _title(recipe: Mapping[str, Any], folder: Path) -> str:
    paper = recipe.get("paper")
    names = (recipe.get("name"), paper.get("name") if isinstance(paper, Mapping) else None, folder.resolve().name)
    return next(_one_line(name) for name in names if isinstance(name, str) and name.strip())


def _summary(recipe: Mapping[str, Any]) -> str:
    paper = recipe.get("paper")
    texts = [text for key, text in paper.items() if key != "is"] if isinstance(paper, Mapping) else []
    sentences = [text for text in texts if isinstance(text, str) and " " in text.strip()]
    return _one_line(sentences[-1]) if sentences else ""


def _state(lines: Sequence[Line], report: Mapping[str, Any]) -> str:
    if report.get("after"):
        return ""
    if not lines:
        return "**This run did not finish: it has taken no step yet.**"
    last = lines[-1]
    where = f"{_one_line(last.get('stage', 'training'))}, step {last.get('step', len(lines))}"
    return f"**This run did not finish: its last line is of {where}. `whet resume` goes on from its last checkpoint.**"


def _table(report: Mapping[str, Any]) -> str:
    found = rows(report)
    if not found:
        return ""
    body = [HEADER, tuple("---" if i == 0 else "---:" for i in range(len(HEADER))), *found]
    table = "\n".join("| " + " | ".join(_one_line(cell) for cell in row) + " |" for row in body)
    return (
        f"{table}\n\nIn brackets: 95 % intervals over problems. p: paired two-sided test of the difference over the "
        "same problems."
    )


def _stages(lines: Sequence[Line]) -> str:
    """One line per stage: how many steps, how long, and its last loss and reward."""
    said = []
    for label, part in plots.segments(lines):
        seconds = sum(x for line in part if isinstance(x := line.get("time/step"), (int, float)))
        last = {
            name: line[name] for line in part for name in ("loss", "reward/mean") if plots.is_number(line.get(name))
        }
        numbers = "".join(f", {name} {value:.3g} at the end" for name, value in last.items())
        time = f" in {seconds / 60:.1f} minutes" if seconds >= 60 else f" in {seconds:.1f} seconds" if seconds else ""
        said.append(f"- {_one_line(label)}: {len(part)} step{'s' * (len(part) != 1)}{time}{numbers}")
    return "\n".join(said)


def _environment(env: Mapping[str, Any]) -> str:
    plain = {key: value for key, value in env.items() if isinstance(value, (str, int, float, bool))}
    if not plain:
        return ""
    return "## Environment\n\n" + "\n".join(f"- {_one_line(key)}: {_one_line(value)}" for key, value in plain.items())


def _one_line(value: Any) -> str:
    """Text that breaks no table and opens no tag."""
    return " ".join(str(value).split()).replace("|", "\\|").replace("<", "&lt;")
