"""Arms in turn, A B A B ..., so that a slow minute of the machine falls on all of them; figures are medians."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from bench import generation, trl_arm, whet_arm
from bench.arm import Arm, Block
from bench.trl_arm import Settings
from bench.workload import Case

WARM = 2  # blocks that are not measured


@dataclass(frozen=True)
class Raced:
    """The blocks of every arm, and what each told at its end (its peak memory)."""

    blocks: Mapping[str, list[Block]]
    ends: Mapping[str, Any]
    told: Mapping[str, Any]

    def rates(self, name: str) -> list[float]:
        """Completion tokens per second, block by block."""
        return [block.tokens / block.seconds for block in self.blocks[name]]

    def ratio(self, name: str, other: str) -> dict[str, Any]:
        """How many times as fast an arm was as another in the block beside it."""
        pairs = [a / b for a, b in zip(self.rates(name), self.rates(other), strict=True)]
        return {"median": median(pairs), "min": min(pairs), "pairs": pairs}

    def figures(self, name: str) -> dict[str, float]:
        """Of one arm; times are per step."""
        blocks = self.blocks[name]
        return {
            "tokens_per_second": median(self.rates(name)),
            "tokens_per_step": sum(b.tokens for b in blocks) / sum(b.steps for b in blocks),
            "step_ms": 1e3 * median(b.seconds / b.steps for b in blocks),
            "generation_ms": 1e3 * median(b.playing / b.steps for b in blocks),
            "training_ms": 1e3 * median((b.seconds - b.playing) / b.steps for b in blocks),
        }


def race(arms: Mapping[str, Arm], steps: int, pairs: int) -> Raced:
    """`pairs` measured blocks of `steps` steps for every arm, in turn."""
    blocks: dict[str, list[Block]] = {name: [] for name in arms}
    with ExitStack() as held:
        for arm in arms.values():
            held.enter_context(arm)
        for arm in arms.values():
            arm.ready()
        for number in range(WARM + pairs):
            for name, arm in arms.items():
                block = arm.block(steps)
                if number >= WARM:
                    blocks[name].append(block)
        return Raced(blocks, {name: arm.end() for name, arm in arms.items()}, {n: a.told for n, a in arms.items()})


def whole_step(case: Case, folder: Path, settings: Settings, pairs: int) -> Raced:
    """Whet and TRL. RuntimeError if they are not given the same prompts."""
    arms = {"whet": Arm(whet_arm.run, (case, folder)), "trl": Arm(trl_arm.run, (case, folder, [settings]))}
    raced = race(arms, case.steps, pairs)
    if raced.told["whet"] != raced.told["trl"]:
        raise RuntimeError(f"{case.name}: the two sides read different prompts, so nothing is compared")
    return raced


def generation_alone(case: Case, folder: Path, pairs: int) -> Raced:
    """The tiers of Whet's engine, and `generate` of transformers."""
    arms = {f"whet {tier}": Arm(generation.whet, (case, folder, tier)) for tier in generation.tiers(case)}
    return race({"transformers": Arm(generation.transformers, (case, folder)), **arms}, case.steps, pairs)


def best_settings(case: Case, folder: Path, tried: Sequence[Settings]) -> tuple[Settings, list[dict[str, Any]]]:
    """The settings with which TRL is fastest, by the better of two steps each after one of warm-up, and the table."""
    table: list[tuple[float, Settings]] = []
    with Arm(trl_arm.run, (case, folder, tried)) as arm:
        arm.ready()
        for settings in tried:
            arm.block(1)
            blocks = [arm.block(1), arm.block(1)]
            table.append((max(block.tokens / block.seconds for block in blocks), settings))
            arm.end()
    best = max(table, key=lambda line: line[0])[1]
    return best, [{**asdict(settings), "tokens_per_second": rate} for rate, settings in table]


def candidates(case: Case) -> list[Settings]:
    """Kinds of attention and sizes of a micro-batch for every case; on the smallest also what was slower everywhere."""
    if case.device != "cpu":
        return [Settings(), Settings(attention="eager"), *([] if case.size == "L" else [Settings(64)])]
    grid = [Settings(), Settings(64), Settings(128, "eager"), Settings(64, "eager"), Settings(32, "eager")]
    if case.name != "S add":
        return grid
    return [*grid, Settings(32), Settings(cache="static"), Settings(optimizer="adamw_torch")]
