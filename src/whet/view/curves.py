"""From the lines of `metrics.jsonl` to what the plots of a page draw."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from whet.metrics.plots import segments
from whet.view.text import plain

MOST = 1500  # our choice: points of a curve; of longer ones, means of neighbours
_SERIES = 12  # our choice: curves in one plot

Line = Mapping[str, Any]


@dataclass(frozen=True)
class Chart:
    """One plot, of the metrics whose name is one of `keys`, ends in "/" + one, or begins with one that ends in "/"."""

    key: str
    title: str
    unit: str
    keys: tuple[str, ...]
    but: tuple[str, ...] = ()

    def shows(self, metric: str) -> bool:
        return metric not in self.but and any(
            metric.startswith(key) if key.endswith("/") else metric == key or metric.endswith(f"/{key}")
            for key in self.keys
        )


CHARTS = (
    Chart("reward", "Reward, by term", "mean per attempt", ("reward/mean", "reward/"), ("reward/std",)),
    Chart("right", "Solved", "share", ("validation/", "right/"), ()),
    Chart("outcomes", "Verifier outcomes", "share of verdicts", ("outcome/",)),
    Chart("length", "Length", "sampled tokens", ("length/mean", "length/max")),
    Chart("stops", "How attempts end", "share", ("stop/", "length/limit_share")),
    Chart(
        "groups",
        "Groups that teach",
        "share",
        ("groups/mixed", "groups/all_right", "groups/all_wrong", "groups/kept share"),
    ),
    Chart("spread", "Reward spread in a group", "standard deviation", ("reward/std",)),
    Chart("entropy", "Entropy", "nats per token", ("entropy",)),
    Chart("kl", "KL", "nats per token", ("kl", "kl/mean", "kl_old")),
    Chart("clip", "Clipped", "share of tokens", ("clip_fraction",)),
    Chart("grad", "Gradient norm", "before clipping", ("grad_norm",)),
    Chart("gap", "Sampler against learner", "nats", ("gap/mean", "gap/max")),
    Chart("stale", "Staleness", "updates", ("staleness",)),
    Chart("hidden", "Reward and a hidden verifier", "mean per attempt", ("hidden/",)),
    Chart("loss", "Loss", "", ("loss", "nll")),
    Chart("speed", "Speed", "tokens per second", ("tokens/s",)),
    Chart("time", "Time of a step", "seconds", ("time/",)),
)
_PLAIN = ("stage", "number", "step", "alerts")


def stages(lines: Sequence[Line]) -> list[tuple[str, list[Line]]]:
    """The log by stage, with what follows from it: "groups/kept share" (groups kept / groups) and "tokens/s"."""
    return [(label, _derived(part)) for label, part in segments(lines)]


def added(lines: Sequence[Line], metric: str, by: Mapping[int, float]) -> Sequence[Line]:
    """The log with {step: value} of a metric that it does not have; as it is where all values are 0."""
    if not any(by.values()):
        return lines
    return [{**line, metric: by[step]} if (step := line.get("step")) in by else line for line in lines]  # type: ignore


def one(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """The charts of one stage: each metric a curve."""
    drawn, taken = [], set()
    for chart in CHARTS:
        metrics = [metric for metric in _metrics(lines) if chart.shows(metric)]
        taken |= set(metrics)
        drawn.append(_chart(chart.key, chart.title, chart.unit, [(m, _points(lines, m)) for m in metrics]))
    others = [metric for metric in _metrics(lines) if metric not in taken]
    rest = [{**_chart(f"other-{m}", m, "", [(m, _points(lines, m))]), "other": True} for m in others]
    return [chart for chart in [*drawn, *rest] if chart["series"]]


def several(arms: Mapping[str, Sequence[Sequence[Line]]]) -> list[dict[str, Any]]:
    """The charts of {arm: a log of each of its seeds}: each metric a plot, in it each arm the mean over its seeds, in a
    band from the least to the largest where there are several."""
    every = [line for logs in arms.values() for lines in logs for line in lines]
    known = _metrics(every)
    drawn = []
    for chart in CHARTS:
        for metric in (metric for metric in known if chart.shows(metric)):
            series = []
            for arm, logs in arms.items():
                found = [points for lines in logs if (points := _points(lines, metric))]
                if any(any(points.values()) for points in found):  # not what was 0 all the time
                    series.append((arm, *_banded(found)))
            drawn.append(_banded_chart(f"{chart.key}-{metric}", metric, chart.unit, series))
    return [chart for chart in drawn if chart["series"]]


def number(value: Any) -> float | None:
    """A finite float, or None for whatever else stands in a log."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def spark(values: Sequence[float], width: int = 96, height: int = 20) -> str:
    """The points of a small line for an SVG of that size, "" for fewer than two values."""
    if len(values) < 2:
        return ""
    values = thin(values, 48)
    low, high = min(values), max(values)
    wide, tall = width / (len(values) - 1), (height - 4) / ((high - low) or 1.0)
    return " ".join(f"{i * wide:.1f},{height - 2 - (v - low) * tall:.1f}" for i, v in enumerate(values))


def thin(values: Sequence[float], most: int = MOST) -> list[float]:
    """At most `most` values: means of neighbours."""
    size = -(-len(values) // most)
    return [math.fsum(part) / len(part) for i in range(0, len(values), size) if (part := values[i : i + size])]


def _derived(lines: Sequence[Line]) -> list[Line]:
    out, before = [], None
    for line in lines:
        extra = {}
        if (kept := number(line.get("groups/kept"))) is not None and (all_ := number(line.get("groups"))):
            extra["groups/kept share"] = kept / all_
        tokens = number(line.get("tokens"))
        seconds = sum(number(line.get(name)) or 0.0 for name in ("time/play", "time/learn"))
        if tokens is not None and before is not None and seconds > 0 and tokens >= before:
            extra["tokens/s"] = (tokens - before) / seconds
        before = tokens
        out.append({**line, **extra})
    return out


def _metrics(lines: Iterable[Line]) -> list[str]:
    names = dict.fromkeys(name for line in lines for name, value in line.items() if number(value) is not None)
    return [name for name in names if name not in _PLAIN]


def _points(lines: Sequence[Line], metric: str) -> dict[float, float]:
    points = {}
    for i, line in enumerate(lines):
        if (value := number(line.get(metric))) is not None:
            step = number(line.get("step"))
            points[float(i) if step is None else step] = value
    return points


def _chart(key: str, title: str, unit: str, series: Sequence[tuple[str, Mapping[float, float]]]) -> dict[str, Any]:
    moving = [(label, points) for label, points in series if any(points.values())]  # not what was 0 all the time
    series = (moving or list(series))[:_SERIES]
    xs = sorted({x for _, points in series for x in points})
    told = [{"label": plain(label), "y": _binned([points.get(x) for x in xs])} for label, points in series]
    return {"key": key, "title": plain(title), "unit": unit, "x": _binned(xs), "series": told}


def _banded(
    found: Sequence[Mapping[float, float]],
) -> tuple[dict[float, float], dict[float, float], dict[float, float]]:
    """(mean, least, largest) over seeds at every step that one of them has."""
    by: dict[float, list[float]] = {}
    for points in found:
        for x, y in points.items():
            by.setdefault(x, []).append(y)
    both: list[Callable[[list[float]], float]] = [lambda v: math.fsum(v) / len(v), min, max]
    mean, low, high = ({x: f(v) for x, v in by.items()} for f in both)
    return mean, low, high


def _banded_chart(key: str, title: str, unit: str, series: Sequence[Any]) -> dict[str, Any]:
    xs = sorted({x for _, mean, _, _ in series for x in mean})
    told = []
    for label, mean, low, high in series:
        one = {"label": plain(label), "y": _binned([mean.get(x) for x in xs])}
        if low != high:
            one |= {"low": _binned([low.get(x) for x in xs]), "high": _binned([high.get(x) for x in xs])}
        told.append(one)
    return {"key": key, "title": plain(title), "unit": unit, "x": _binned(xs), "series": told}


def _binned(values: Sequence[float | None]) -> list[float | None]:
    size = -(-len(values) // MOST) or 1
    if size == 1:
        return [None if value is None else _short(value) for value in values]
    parts = [[v for v in values[i : i + size] if v is not None] for i in range(0, len(values), size)]
    return [_short(math.fsum(part) / len(part)) if part else None for part in parts]


def _short(value: float) -> float:
    return float(f"{value:.6g}")
