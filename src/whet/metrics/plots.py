"""The plots of a run: what `metrics.jsonl` and `report.json` hold, as PNG files with the same bytes every time.

matplotlib is imported where it draws, through its object interface: no window, no global state.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whet.files import write_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Line = Mapping[str, Any]
Series = dict[str, tuple[list[float], list[float]]]  # {label: (steps, values)}

# Okabe & Ito's colours, which people of every colour vision tell apart, without their yellow: too light on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_SMOOTH = 30  # our choice: from so many points on, a moving mean is drawn over them
_INCHES, _DPI = (6.4, 3.6), 120


@dataclass(frozen=True)
class Plot:
    """One picture of the metrics whose name is one of `keys`, ends in "/" + one ("policy/entropy"), or, for a key that
    ends in "/", begins with it."""

    name: str
    title: str
    axis: str
    keys: tuple[str, ...]

    def shows(self, metric: str) -> bool:
        return any(
            metric.startswith(key) if key.endswith("/") else metric == key or metric.endswith(f"/{key}")
            for key in self.keys
        )


PLOTS = (
    Plot("reward", "Reward", "mean reward per attempt", ("reward/mean",)),
    Plot("validation", "Validation", "value on held-out problems", ("validation/",)),
    Plot("hidden", "Reward and a hidden verifier", "mean per attempt", ("hidden/",)),
    Plot("length", "Length of an attempt", "mean sampled tokens", ("length/mean",)),
    Plot("entropy", "Entropy", "nats per token", ("entropy",)),
    Plot("kl", "KL to the reference", "nats per token", ("kl", "kl/mean")),
    Plot("loss", "Loss", "loss", ("loss",)),
)


def draw_all(folder: Path, lines: Sequence[Line], report: Mapping[str, Any]) -> list[str]:
    """Draw into `folder` every plot that has a point; their names, "reward" for `reward.png`."""
    drawn = []
    for plot in PLOTS:
        series = collect(plot, lines)
        if series:
            write_bytes(folder / f"{plot.name}.png", _png(plot.title, "step", plot.axis, series))
            drawn.append(plot.name)
    curves = pass_curves(report)
    if curves:
        write_bytes(folder / "pass_at_k.png", passes(curves))
        drawn.append("pass_at_k")
    return drawn


def segments(lines: Sequence[Line]) -> list[tuple[str, list[Line]]]:
    """The log by stage: a new one begins where the name changes or the steps start again; a name that was there before
    gets a number ("rl", "rl 2")."""
    found: list[tuple[str, list[Line]]] = []
    counts: dict[str, int] = {}
    name, last = None, -math.inf
    for line in lines:
        stage, step = str(line.get("stage", "run")), line.get("step", 0)
        step = step if is_number(step) else last
        if stage != name or step < last:
            counts[stage] = counts.get(stage, 0) + 1
            found.append((stage if counts[stage] == 1 else f"{stage} {counts[stage]}", []))
        found[-1][1].append(line)
        name, last = stage, step
    return found


def collect(plot: Plot, lines: Sequence[Line]) -> Series:
    """What a plot shows, by label. Points that are missing or not finite are left out, as are series without any."""
    series: Series = {}
    for label, part in segments(lines):
        metrics = dict.fromkeys(metric for line in part for metric in line if plot.shows(metric))
        for metric in metrics:
            points = [(i, line) for i, line in enumerate(part) if is_number(line.get(metric))]
            if points:
                steps = [float(line["step"]) if is_number(line.get("step")) else float(i) for i, line in points]
                series[f"{label}: {metric}"] = (steps, [float(line[metric]) for _, line in points])
    return series


def pass_curves(report: Mapping[str, Any]) -> dict[str, list[tuple[int, float, float, float]]]:
    """{"before" and "after": [(k, value, low, high)]} as shares, for sides that have a pass@k."""
    curves = {side: pass_points(report.get(side) or {}) for side in ("before", "after")}
    return {side: points for side, points in curves.items() if points}


def pass_points(metrics: Mapping[str, Any], named: str = "pass") -> list[tuple[int, float, float, float]]:
    """[(k, value, low, high)] as shares, k rising, of the metrics `named`@k; an end that is not known is the value."""
    points = []
    for metric, estimate in metrics.items():
        start, _, k = metric.partition("@")
        if start == named and k.isdecimal() and is_number(estimate.get("value")):
            value = float(estimate["value"])
            low, high = (x if is_number(x := estimate.get(end)) else value for end in ("low", "high"))
            points.append((int(k), value, float(low), float(high)))
    return sorted(points)


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _png(title: str, x: str, y: str, series: Series) -> bytes:
    def draw(axes: Axes) -> None:
        for i, (label, (steps, values)) in enumerate(series.items()):
            colour, smooth = COLOURS[i % len(COLOURS)], len(values) >= _SMOOTH
            marker = "o" if len(values) < 3 else ""
            axes.plot(steps, values, color=colour, alpha=0.3 if smooth else 1.0, marker=marker, label=None)
            if smooth:
                axes.plot(steps, moving_mean(values, max(3, len(values) // 15)), color=colour, linewidth=2)
            axes.plot([], [], color=colour, label=label)
        if len(series) > 1:
            axes.legend(frameon=False, fontsize="small")

    return _figure(title, x, y, draw)


def passes(curves: Mapping[str, Sequence[tuple[int, float, float, float]]]) -> bytes:
    """A PNG of {label: [(k, value, low, high)]} as lines with bands over k, which doubles from tick to tick."""

    def draw(axes: Axes) -> None:
        for i, (side, points) in enumerate(curves.items()):
            ks = [point[0] for point in points]
            value, low, high = ([100 * point[j] for point in points] for j in (1, 2, 3))
            axes.plot(ks, value, color=COLOURS[i], marker="o" if i == 0 else "s", label=side)
            axes.fill_between(ks, low, high, color=COLOURS[i], alpha=0.15, linewidth=0)
            axes.set_xscale("log", base=2)
        ticks = sorted({point[0] for points in curves.values() for point in points})
        axes.set_xticks(ticks, [str(k) for k in ticks])
        axes.set_xticks([], minor=True)
        axes.set_ylim(0, 103)  # room for markers at 100
        axes.legend(frameon=False)

    return _figure("pass@k with 95 % intervals", "k (attempts)", "problems solved (%)", draw)


def differences(title: str, axis: str, rows: Sequence[tuple[str, float, float, float]]) -> bytes:
    """A PNG of (label, value, low, high), one below the other, with a line at 0. NaN ends are left out."""

    def draw(axes: Axes) -> None:
        for i, (label, value, low, high) in enumerate(rows):
            axes.plot([value], [label], marker="o", color=COLOURS[0])
            if math.isfinite(low) and math.isfinite(high):
                axes.plot([low, high], [label, label], color=COLOURS[0], linewidth=2, zorder=1 + i)
        axes.axvline(0, color=COLOURS[-1], linewidth=1)
        axes.set_ylim(len(rows) - 0.5, -0.5)

    return _figure(title, axis, "", draw)


def moving_mean(values: Sequence[float], width: int) -> list[float]:
    """The mean of up to `width` values around each; fewer at the ends."""
    half = width // 2
    windows = [values[max(0, i - half) : i + half + 1] for i in range(len(values))]
    return [math.fsum(window) / len(window) for window in windows]


def _figure(title: str, x: str, y: str, draw: Any) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=_INCHES, dpi=_DPI, layout="constrained")
    axes = figure.add_subplot()
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    draw(axes)
    axes.set_title(title, loc="left")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(True, alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None})
    return buffer.getvalue()
