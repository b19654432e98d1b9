"""trackio: a local database and dashboard with W&B's calls, `trackio show`."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

from whet.files import read_json, write_json

ID = "trackio.json"
_AWAY = ("TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL")


class Mirror:
    """A run in trackio's own database on this machine (`TRACKIO_DIR`), under a project and name that
    `RUN/trackio.json` keeps. It goes on with the first step that the database does not have.

    ValueError if the environment tells trackio to send runs elsewhere: nothing leaves the machine.
    """

    def __init__(self, mode: str = "") -> None:
        if mode:
            raise ValueError(f"trackio has no mode {mode!r}; write 'trackio'")
        if away := [name for name in _AWAY if os.environ.get(name)]:
            raise ValueError(
                f"{away[0]} is set, with which trackio would send the run to another machine; unset it to use trackio "
                "here, and share a finished project with trackio's own `trackio sync`"
            )
        try:
            import trackio  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise ImportError("trackio is not installed: pip install 'whet[trackio]'") from error
        self._trackio = trackio

    def start(self, folder: Path, told: Mapping[str, Any]) -> int:
        if not (folder / ID).exists():
            project = f"whet-{Path(told.get('order', {}).get('recipe', 'run')).stem}"
            name = f"{folder.resolve().name}-{secrets.token_hex(3)}"
            write_json(folder / ID, {"project": project, "name": name})
        place, self._place = read_json(folder / ID), folder / ID
        with _quietly():
            self._run = self._trackio.init(
                project=place["project"],
                name=place["name"],
                config=dict(told),
                resume="allow",
                embed=False,
                auto_log_gpu=False,
                auto_log_cpu=False,
            )
        return int(self._run._next_step)

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        self._run.log(dict(metrics), step=step)

    def finish(self, results: Mapping[str, float]) -> None:
        place = read_json(self._place)
        if results and not place.get("results"):  # once, however often the run is mirrored
            self._run.log(dict(results), step=self._run._next_step - 1)
            write_json(self._place, {**place, "results": True})
        with _quietly():
            self._trackio.finish()


@contextmanager
def _quietly() -> Iterator[None]:
    """Its messages go to stderr, and it does not ask the hub who the user is."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        constants.HF_HUB_OFFLINE = before
