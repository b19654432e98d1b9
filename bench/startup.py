"""How long a user waits before anything happens."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from statistics import median

_WHET = str(Path(sys.executable).with_name("whet"))
COMMANDS = {
    "import whet": [sys.executable, "-c", "import whet"],
    "whet --help": [_WHET, "--help"],
    "whet run --help": [_WHET, "run", "--help"],
}


def startup(times: int = 5) -> dict[str, float]:
    """Seconds of each command, the median of `times` fresh processes."""
    return {name: median(_seconds(command) for _ in range(times)) for name, command in COMMANDS.items()}


def _seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started
