"""All figures of one case, and of all."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from transformers import AutoConfig

from bench import floor, machine, race
from bench.arm import THREADS
from bench.models import model_file
from bench.startup import startup
from bench.workload import PROBLEMS, Case

Groups = list[tuple[int, list[int]]]


def measured(
    cases: Sequence[Case],
    pairs: int,
    command: str,
    say: Callable[[str], None],
    keep: Callable[[dict[str, Any]], None],
) -> dict[str, Any]:
    """Everything that results/bench.json holds. `keep` is given what there is after every case."""
    started = time.monotonic()
    torch.set_num_threads(THREADS)
    out: dict[str, Any] = {**machine.description(command), "threads": THREADS, "pairs": pairs}
    for case in cases:
        for part, value in one(case, model_file(case), pairs, say).items():
            out.setdefault(part, {})[case.name] = value
        keep(out)
    if all(case.device == "cpu" for case in cases):
        say("start-up")
        out["startup_seconds"] = startup()
    return {**out, "seconds": time.monotonic() - started}


def one(case: Case, folder: Path, pairs: int, say: Callable[[str], None]) -> dict[str, Any]:
    """The figures of one case, by the part of the file they stand in."""
    say(f"{case.name}: settings of TRL")
    settings, tried = race.best_settings(case, folder, race.candidates(case))
    say(f"{case.name}: whole steps (TRL: {settings})")
    steps = race.whole_step(case, folder, settings, pairs)
    say(f"{case.name}: generation alone")
    alone = race.generation_alone(case, folder, pairs)
    groups: Groups = alone.told["whet reference"]
    return {
        "over_trl": steps.ratio("whet", "trl"),
        "memory_over_trl": steps.ends["whet"] / steps.ends["trl"],
        "step": {name: {**steps.figures(name), "peak_bytes": steps.ends[name]} for name in steps.blocks},
        "generation": {name: {"tokens_per_second": alone.figures(name)["tokens_per_second"]} for name in alone.blocks},
        "generation_over_transformers": {
            name: alone.ratio(name, "transformers") for name in alone.blocks if name != "transformers"
        },
        "workload": law(groups),
        "floor": shares(case, folder, groups, steps, alone),
        "trl_settings": str(settings),
        "trl_settings_tried": tried,
    }


def law(groups: Groups) -> dict[str, float]:
    """How long prompts and completions are, in tokens."""
    lengths = sorted(length for _, completions in groups for length in completions)
    prompts = [prompt for prompt, _ in groups]
    return {
        "completion_mean": mean(lengths),
        "completion_median": lengths[len(lengths) // 2],
        "completion_max": lengths[-1],
        "prompt_mean": mean(prompts),
        "prompt_max": max(prompts),
        "problems": len(groups),
    }


def shares(case: Case, folder: Path, groups: Groups, steps: race.Raced, alone: race.Raced) -> dict[str, Any]:
    """The share of the time that the necessary arithmetic would take at the machine's best rate, and on a GPU that of
    generation that reading memory would take; see `floor`."""
    shape = floor.Shape.of(AutoConfig.from_pretrained(folder))
    tokens = sum(sum(completions) for _, completions in groups)
    per_token = floor.forward_operations(shape, groups) / tokens
    if case.device == "cpu":
        rate = floor.rate(shape, [128, int(steps.figures("whet")["tokens_per_step"])])
    else:
        rate = floor.of_gpu(case.precision)

    def share(part: str, rates: float) -> float:
        return floor.PARTS[part] * per_token * rates / rate["best"]

    training = {}
    for name in steps.blocks:
        figures = steps.figures(name)
        training[name] = share("training", 1e3 * figures["tokens_per_step"] / figures["training_ms"])
    reading = {}
    if "bytes" in rate:
        per_token_read = floor.decoding_bytes(shape, groups, PROBLEMS) / tokens
        reading = {n: per_token_read * alone.figures(n)["tokens_per_second"] / rate["bytes"] for n in alone.blocks}
    return {
        "reading": reading,
        "operations_per_second": rate,
        "operations_per_token": per_token,
        "generation": {n: share("generation", alone.figures(n)["tokens_per_second"]) for n in alone.blocks},
        "training": training,
        "step": {n: share("step", steps.figures(n)["tokens_per_second"]) for n in steps.blocks},
    }
