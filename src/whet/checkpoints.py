"""What of a run is on disk to go on from, and how its logs are cut back to that.

`checkpoints/start-N/` holds what stage N begins from; `checkpoints/N-SSSSSSSS/` the state of stage N after S steps.
Both are written whole or not at all, and the old ones go only when the new one is there.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from whet.files import folder, read_lines, sweep, write_text

Saved = Mapping[str, Any]  # tensors and JSON values only: it is read back without unpickling anything else


def write(run: Path, number: int, step: int, saved: Saved, keep: int) -> None:
    """The state within a stage; the `keep` newest of the stage stay."""
    _write(run / "checkpoints" / f"{number}-{step:08d}", saved)
    for old in _within(run, number)[:-keep]:
        shutil.rmtree(old)


def write_start(run: Path, number: int, saved: Saved) -> None:
    """What stage `number` begins from. Only then is everything of the stage before done with."""
    _write(run / "checkpoints" / f"start-{number}", saved)
    _forget(run, number)


def newest(run: Path) -> tuple[Saved | None, Saved | None]:
    """(what the newest stage began from, the newest state within it); None for what there is not. Removes what a
    killed process left half-made, or had not come to remove."""
    sweep(run)
    starts = sorted((run / "checkpoints").glob("start-*"), key=lambda place: int(place.name.split("-")[1]))
    start = _read(starts[-1]) if starts else None
    _forget(run, start["number"] if start else 0)
    within = _within(run, start["number"] if start else 0)
    return start, _read(within[-1]) if within else None


def cut_logs(run: Path, number: int, step: int) -> None:
    """Metrics, rollouts and cases of steps that will be played again go."""
    log = run / "metrics.jsonl"
    if log.exists():
        kept = [line for line in read_lines(log) if (line["number"], line["step"]) < (number, step)]
        write_text(log, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in kept))
    for file in [*(run / "rollouts").glob("*.parquet"), *(run / "hidden").glob("*.json")]:
        of, at = (int(part) for part in file.stem.split("-")[:2])
        if (of, at) >= (number, step):
            file.unlink()


def _forget(run: Path, number: int) -> None:
    """Remove what belongs to the stages before stage `number`."""
    for before in range(number):
        for old in [*_within(run, before), run / "checkpoints" / f"start-{before}"]:
            if old.exists():
                shutil.rmtree(old)


def _within(run: Path, number: int) -> list[Path]:
    return sorted((run / "checkpoints").glob(f"{number}-*"))


def _write(place: Path, saved: Saved) -> None:
    # A file of Python's own tells why it could not be written.
    with folder(place, exists="replace") as part, open(part / "state.pt", "wb") as file:
        torch.save(dict(saved), file)


def _read(place: Path) -> Saved:
    return torch.load(place / "state.pt", weights_only=True, map_location="cpu")
