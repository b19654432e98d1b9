"""Every arm of a recipe over seeds, and what came of its claim: `results/SLUG.json`.

How a claim is judged was fixed before any was run: two arms (more where a claim names more) with 8 seeds, 0 to 7,
paired, intervals by bootstrap over seeds and problems; other arms with fewer seeds and no verdict.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from dataclasses import dataclass, replace
from datetime import date
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from whet.claims import Finding, parts, verdict
from whet.describe import fingerprint
from whet.files import plain, read_json, read_lines, write_text
from whet.launch import Order, environment, find, machine, resume, slugs, start
from whet.metrics.intervals import Estimate
from whet.metrics.measures import Measure
from whet.metrics.seeds import over_seeds, paired_seeds
from whet.recipe import Made, Recipe, made, make
from whet.report import is_change, is_share
from whet.run import INTERRUPT, Interrupted, Silent
from whet.stamps import code, components, stamp, told
from whet.workers import pool

SEEDS = 8  # of arms that a claim judges
QUICK = 1000  # the one seed of a quick look: seeds from 1000 upward are for tuning, so it spoils no verdict
WORKERS = os.cpu_count() or 1
_DIGITS = 6  # our choice: of the values that are kept

_NUMBERS = re.compile(r"\[[\s\d.,e+-]*\]")  # a list of numbers, which goes on one line

Watch = Callable[[int, int, str], None]  # (steps done, steps in all, what has just happened or "")


@dataclass(frozen=True)
class Job:
    """One arm with one seed, and the folder of its run."""

    arm: str
    seed: int
    folder: Path


def jobs(recipe: Recipe, root: Path, seeds: int = 0, first: int = 0, quick: bool = False) -> list[Job]:
    """All runs of a reproduction, seed by seed. `seeds` 0: 8 for the arms of the claim, `Recipe.seeds` for others; a
    number is for the claim's arms, and the others get no more than they would have (without a claim: all get it).
    They are counted from `first`. `quick`: one seed, the claim's first two arms."""
    named = list(recipe.claim.arms()) if recipe.claim else []
    if quick:
        wanted = {arm: [QUICK] for arm in (named or list(recipe.arms))[:2]}
    else:
        most = seeds or SEEDS
        others = min(most, recipe.seeds) if named or not seeds else seeds
        wanted = {arm: [first + i for i in range(most if arm in named else others)] for arm in recipe.arms}
    every = sorted({seed for of in wanted.values() for seed in of})
    return [Job(arm, seed, root / f"{arm}-seed{seed}") for seed in every for arm, of in wanted.items() if seed in of]


def root_of(order: Order, recipe: Recipe, parent: Path) -> Path:
    """Where the runs of a recipe as it stands, under the code as it stands, are kept: a change to either is another
    folder, so that what is there already can be used again."""
    return parent / f"{Path(order.recipe).stem}-{fingerprint(told(recipe), code())[:8]}"


def run_all(order: Order, recipe: Recipe, todo: Sequence[Job], watch: Watch, workers: int = WORKERS) -> None:
    """Make the warm starts, then run every job that is not done yet; one that was stopped goes on. Each has one
    process with one thread. Interrupted after Ctrl-C, with all saved: the same call goes on."""
    left = [job for job in todo if not (job.folder / "report.json").exists()]
    total = sum(_steps(recipe, job.arm) for job in todo)
    if not left:
        watch(total, total, "")
        return
    with pool(min(workers, len(left)), _interrupted) as crew:
        arms = tuple(dict.fromkeys(job.arm for job in left))
        warm = {
            crew.submit(_warm, order, arms, seed, number): f"warm start, seed {seed}"
            for seed in _seeds(left)
            for number in range(len(_made(recipe, arms, seed)))
        }
        _wait(warm, lambda: 0, total, watch)
        steps = lambda: sum(_done(recipe, job) for job in todo)  # noqa: E731
        _wait({crew.submit(_run, order, job): f"{job.arm}, seed {job.seed}" for job in left}, steps, total, watch)


def measured(recipe: Recipe, todo: Sequence[Job]) -> dict[str, dict[str, np.ndarray]]:
    """{arm: {measure's name: [seeds, problems]}} of finished runs: the recipe's measures of every arm, and of each what
    the claim asks of it."""
    table: dict[str, dict[str, np.ndarray]] = {}
    for arm in dict.fromkeys(job.arm for job in todo):
        asked: dict[str, Measure] = {m.name: m for m in recipe.measures}
        for part in parts(recipe.claim) if recipe.claim else ():
            asked |= {m.name: m for m in part.measures() if arm in part.arms()}
        folders = [job.folder for job in todo if job.arm == arm]
        table[arm] = {name: np.stack([measure(folder) for folder in folders]) for name, measure in asked.items()}
    return table


def judged(recipe: Recipe, table: Mapping[str, Mapping[str, np.ndarray]]) -> list[Finding]:
    """What the claim's arms say of it; of a quick look, what its two arms can say. Nothing without a claim."""
    if recipe.claim is None or set(recipe.claim.arms()) <= set(table):
        return recipe.claim.judge(table) if recipe.claim else []
    return [found for part in parts(recipe.claim) if set(part.arms()) <= set(table) for found in part.judge(table)]


def result(recipe: Recipe, todo: Sequence[Job], command: str, seconds: float) -> dict[str, Any]:
    """One full run as JSON values: verdict, findings, a line per arm, and the values that the verdict came from."""
    table = measured(recipe, todo)
    findings = judged(recipe, table)
    kept = [m.name for m in recipe.claim.measures()] if recipe.claim else []
    arms = {
        arm: {
            "seeds": [job.seed for job in todo if job.arm == arm],
            **{name: {**within(name, over_seeds(x)), "seeds": plain(x.mean(1))} for name, x in by_name.items()},
        }
        for arm, by_name in table.items()
    }
    return {
        "date": date.today().isoformat(),
        "command": command,
        "stamp": stamp(recipe),
        "verdict": verdict(findings) if findings else None,
        "findings": plain(findings),
        "arms": arms,
        "values": {
            arm: {name: [_short(row) for row in by_name[name]] for name in kept if name in by_name}
            for arm, by_name in table.items()
            if recipe.claim and arm in recipe.claim.arms()
        },
        "against_first": {} if recipe.claim else _against_first(table),
        "tokens": {arm: _mean_tokens([job.folder for job in todo if job.arm == arm]) for arm in table},
        "seconds": round(seconds),
        "environment": environment(),
    }


def _short(row: np.ndarray) -> list[float]:
    return [int(x) if x.is_integer() else round(x, _DIGITS) for x in row.tolist()]


def _against_first(table: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, dict[str, Any]]:
    """{arm: {measure's name: its difference from the first arm}}, paired by seed and problem."""
    first, *others = table
    return {arm: {name: plain(paired_seeds(table[first][name], x)) for name, x in table[arm].items()} for arm in others}


def within(name: str, found: Estimate) -> dict[str, Any]:
    """A share has no ends below 0 or above 1, whatever a few seeds suggest; a difference of two may."""
    share = is_share(name) and not is_change(name)
    ends = {"low": max(found.low, 0.0), "high": min(found.high, 1.0)} if share else {}
    return {**plain(found), **plain(ends)}


def write(file: Path, order: Order, recipe: Recipe, found: Mapping[str, Any]) -> None:
    """Add one run to a results file, the newest last; none is ever taken out."""
    runs = read_json(file)["runs"] if file.exists() else []
    about = {"recipe": file.stem, "summary": summary(order), "paper": recipe.paper, "components": components(recipe)}
    text = json.dumps(plain({**about, "runs": [*runs, found]}), indent=2, ensure_ascii=False, allow_nan=False)
    write_text(file, _NUMBERS.sub(lambda of: " ".join(of[0].split()), text) + "\n")


def stale(results: Path) -> list[str]:
    """The shipped recipes that compare arms and have no result, or whose newest is of another `stamp`."""
    last = {slug: read_json(results / f"{slug}.json")["runs"][-1]["stamp"] for slug in _done_in(results)}
    return [slug for slug, recipe in _comparing().items() if last.get(slug) != stamp(recipe)]


def waiting(results: Path) -> list[str]:
    """The shipped recipes that compare arms and have no result yet."""
    return [slug for slug in _comparing() if slug not in _done_in(results)]


def _comparing() -> dict[str, Recipe]:
    found = {slug: find(Order(slug)) for slug in slugs()}
    return {slug: recipe for slug, recipe in found.items() if recipe.claim or len(recipe.arms) > 1}


def _done_in(results: Path) -> list[str]:
    return [slug for slug in slugs() if (results / f"{slug}.json").exists()]


def summary(order: Order) -> str:
    """The first paragraph of the recipe's file."""
    module = sys.modules[slugs().get(order.recipe, f"whet_recipe_{Path(order.recipe).stem}")]
    return " ".join((module.__doc__ or "").strip().split("\n\n")[0].split())


# -- in the workers ---------------------------------------------------------------------------------------------------


def _interrupted() -> None:
    """A worker finishes its step and saves."""
    INTERRUPT.set()


def _warm(order: Order, arms: Sequence[str], seed: int, number: int) -> None:
    spec, own = _made(find(order), arms, seed)[number]
    make(spec, own, replace(machine(order), threads=1))


def _made(recipe: Recipe, arms: Sequence[str], seed: int) -> list[tuple[Made, int]]:
    """What warm-up stages make for these arms of a recipe, each once."""
    stages = list(chain(*(recipe.arms[arm] for arm in arms)))
    return list({spec.place(own): (spec, own) for spec, own in made(recipe.model, stages, seed)}.values())


def _run(order: Order, job: Job) -> None:
    if INTERRUPT.is_set():
        raise Interrupted(str(job.folder))
    order = replace(order, arm=job.arm, seed=job.seed)
    if (job.folder / "recipe.json").exists():
        resume(job.folder, Silent())
    else:
        start(order, job.folder, Silent())


def _wait(futures: Mapping[Future[None], str], steps: Callable[[], int], total: int, watch: Watch) -> None:
    """Until all are done. The first error ends it, once those that run are through."""
    open_ = set(futures)
    stopped: Interrupted | None = None
    while open_:
        try:
            done, open_ = wait(open_, timeout=1.0, return_when=FIRST_EXCEPTION)
        except KeyboardInterrupt:
            stopped = Interrupted("")
            continue
        for future in done:
            error = future.exception() if not future.cancelled() else Interrupted("")
            if isinstance(error, (Interrupted, KeyboardInterrupt)):
                stopped = Interrupted("")
            elif error is not None:
                for other in open_:
                    other.cancel()
                raise ValueError(f"{futures[future]}: {error}") from error
            else:
                watch(steps(), total, futures[future])
        if stopped:
            for other in open_:
                other.cancel()
        watch(steps(), total, "")
    if stopped:
        raise stopped


def _seeds(todo: Sequence[Job]) -> list[int]:
    return sorted({job.seed for job in todo})


def _steps(recipe: Recipe, arm: str) -> int:
    return sum(int(getattr(stage, "steps", 0)) for stage in recipe.arms[arm])


def _done(recipe: Recipe, job: Job) -> int:
    if (job.folder / "report.json").exists():
        return _steps(recipe, job.arm)
    file = job.folder / "metrics.jsonl"
    return min(file.read_bytes().count(b"\n"), _steps(recipe, job.arm)) if file.exists() else 0


def _mean_tokens(folders: Sequence[Path]) -> int:
    """Tokens that a run sampled and learned from, on average."""
    ends = [read_lines(folder / "metrics.jsonl")[-1]["tokens"] for folder in folders]
    return round(float(np.mean(ends)))
