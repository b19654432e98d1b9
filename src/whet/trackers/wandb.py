"""Weights & Biases: kept in the run folder, and sent only when asked."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from whet.files import read_json, write_json

FOLDER = "wandb"
ID = "wandb.json"
_WAIT = 60.0  # our choice: seconds that W&B may take to begin, and to send the rest at the end


class Mirror:
    """A W&B run in `RUN/wandb/`, under an id that `RUN/wandb.json` keeps, so that a resumed run stays one.

    "wandb" stays on the machine whatever WANDB_MODE says (`wandb sync` sends it later) and is written anew from the
    log whenever the run goes on; "wandb:online" sends each step, from the first that the server does not have.
    """

    def __init__(self, mode: str = "") -> None:
        if mode not in ("", "offline", "online"):
            raise ValueError(f"wandb has no mode {mode!r}; write 'wandb' (stays on this machine) or 'wandb:online'")
        self.mode: Any = mode or "offline"
        if self.mode == "offline":
            os.environ["WANDB_ERROR_REPORTING"] = "false"  # read while it is imported
        try:
            import wandb  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise ImportError("W&B is not installed: pip install 'whet[wandb]'") from error
        self._wandb = wandb

    def start(self, folder: Path, told: Mapping[str, Any]) -> int:
        if not (folder / ID).exists():
            write_json(folder / ID, {"id": secrets.token_hex(8)})
        if self.mode == "offline":
            for old in (folder / FOLDER).glob("offline-run-*"):
                shutil.rmtree(old)
        order = told.get("order", {})
        settings = self._wandb.Settings(
            console="off",
            silent=True,
            disable_git=True,
            save_code=False,
            x_disable_meta=True,
            x_disable_stats=True,
            x_disable_machine_info=True,
            x_save_requirements=False,
            init_timeout=_WAIT,
            finish_timeout=_WAIT,
        )
        self._run = self._wandb.init(
            project=f"whet-{Path(order.get('recipe', 'run')).stem}",
            name=folder.resolve().name,
            id=read_json(folder / ID)["id"],
            dir=str(folder),
            config=dict(told),
            mode=self.mode,
            resume="allow" if self.mode == "online" else None,
            settings=settings,
        )
        return int(self._run.step)

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        self._run.log(dict(metrics), step=step)

    def finish(self, results: Mapping[str, float]) -> None:
        self._run.summary.update(dict(results))
        self._run.finish()
