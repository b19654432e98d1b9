"""TensorBoard: event files in the run folder, `tensorboard --logdir runs`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FOLDER = "tensorboard"


class Mirror:
    """Event files in `RUN/tensorboard/`. They are written anew from the log whenever a run starts or goes on, so a
    process that was killed before they were flushed has lost nothing. Nothing leaves the machine."""

    def __init__(self, mode: str = "") -> None:
        if mode:
            raise ValueError(f"tensorboard has no mode {mode!r}; write 'tensorboard'")
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ImportError("TensorBoard is not installed: pip install 'whet[tensorboard]'") from error
        self._writer_of = SummaryWriter
        self._last = 0

    def start(self, folder: Path, told: Mapping[str, Any]) -> int:
        place = folder / FOLDER
        for old in place.glob("events.out.tfevents.*"):
            old.unlink()
        # A TensorBoard that is watching forgets what the old files said from step 0 on.
        self._writer = self._writer_of(str(place), purge_step=0)
        text = json.dumps(told, indent=2, ensure_ascii=False)
        self._writer.add_text("recipe", "\n".join(f"    {line}" for line in text.splitlines()))
        return 0

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()
        self._last = step

    def finish(self, results: Mapping[str, float]) -> None:
        for name, value in results.items():
            self._writer.add_scalar(name, value, self._last)
        self._writer.close()
