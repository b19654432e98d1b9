"""Figures as Markdown, and into the page that shows them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.machine import description
from whet.files import write_text


def refresh(page: Path, command: str, text: str) -> None:
    """Put `text` between the page's marks for what `command` measures. ValueError if it has none."""
    start, end = f"<!-- figures: {command} -->", "<!-- figures: end -->"
    pattern = re.compile(f"({re.escape(start)}\n).*?({re.escape(end)})", re.DOTALL)
    old = page.read_text(encoding="utf-8")
    if not pattern.search(old):
        raise ValueError(f"{page} has no place for the figures: put {start} and {end} on lines of their own")
    write_text(page, pattern.sub(lambda found: f"{found[1]}{text.strip()}\n{found[2]}", old, count=1))


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"


def note(page: Path, command: str, head: Sequence[str], lines: Sequence[Sequence[str]], rounds: int) -> str:
    """A table of medians, with when and where it was measured; also put into the page."""
    about = description(command)
    text = f"{about['date']}, {about['machine']['cores']} cores, fp32, medians of {rounds}.\n\n{table(head, lines)}"
    refresh(page, command, text)
    return text


def speed(results: Mapping[str, Any]) -> str:
    """The tables of results/bench.json."""
    machine, packages = results["machine"], results["packages"]
    gpu = f"one {machine['gpu']}, " if machine.get("gpu") else ""
    about = (
        f"{results['date']}, {gpu}{machine['cores']} cores ({machine['cpu']}, {machine['instructions']}), fp32, "
        f"TRL {packages.get('trl', '?')}, transformers {packages['transformers']}, torch {packages['torch']}, "
        f"{results['pairs']} pairs of blocks in turn."
    )
    parts = [about, _steps(results), _generation(results), _work(results)]
    if "startup_seconds" in results:
        parts.append(_startup(results))
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _steps(results: Mapping[str, Any]) -> str:
    lines = []
    for case, ratio in results["over_trl"].items():
        whet, trl = results["step"][case]["whet"], results["step"][case]["trl"]
        floor, memory = results["floor"][case], results["memory_over_trl"][case]
        lines.append(
            [
                case,
                f"{trl['tokens_per_second']:,.0f}",
                f"{whet['tokens_per_second']:,.0f}",
                f"{ratio['median']:.1f} ({ratio['min']:.1f})",
                _pair(trl["generation_ms"], whet["generation_ms"], ",.0f"),
                _pair(trl["training_ms"], whet["training_ms"], ",.0f"),
                f"{_percent(floor['training']['trl'])} / {_percent(floor['training']['whet'])}",
                f"{_percent(floor['step']['trl'])} / {_percent(floor['step']['whet'])}",
                f"{_pair(trl['peak_bytes'] / 2**20, whet['peak_bytes'] / 2**20, ',.0f')} ({memory:.2f})",
            ]
        )
    head = [
        "whole GRPO step",
        "TRL, tokens/s",
        "Whet, tokens/s",
        "ratio (least)",
        "generation, ms",
        "training step, ms",
        "training, % of floor",
        "step, % of floor",
        "peak memory, MiB (ratio)",
    ]
    return table(head, lines) + "\nWhere two figures stand in a cell, the first is TRL's.\n"


def _pair(first: float, second: float, how: str) -> str:
    return f"{first:{how}} / {second:{how}}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f}" if share > 0.015 else f"{100 * share:.1g}"


def _generation(results: Mapping[str, Any]) -> str:
    lines = []
    for case, arms in results["generation"].items():
        for name, figures in arms.items():
            tier, _, how = name.removeprefix("whet ").partition(", ")
            ratio, floor = results["generation_over_transformers"][case].get(name), results["floor"][case]
            reading = floor.get("reading")
            lines.append(
                [
                    case,
                    "transformers `generate`" if name == "transformers" else f"Whet, {tier} tier{how and ', ' + how}",
                    f"{figures['tokens_per_second']:,.0f}",
                    f"{ratio['median']:.1f} ({ratio['min']:.1f})" if ratio else "",
                    _percent((reading or floor["generation"])[name]),
                ]
            )
    kind = "% of the memory's floor" if any(f.get("reading") for f in results["floor"].values()) else "% of floor"
    return table(["generation alone", "", "tokens/s", "ratio (least)", kind], lines)


def _work(results: Mapping[str, Any]) -> str:
    lines = [
        [
            case,
            f"{law['completion_mean']:.1f}",
            f"{law['completion_median']:.0f}",
            f"{law['completion_max']:.0f}",
            f"{law['prompt_mean']:.1f}",
            results["trl_settings"][case],
        ]
        for case, law in results["workload"].items()
    ]
    head = ["lengths in tokens", "completion, mean", "median", "most", "prompt, mean", "TRL's fastest settings"]
    return table(head, lines)


def _startup(results: Mapping[str, Any]) -> str:
    return table(["start-up", "seconds"], [[f"`{name}`", f"{s:.2f}"] for name, s in results["startup_seconds"].items()])
