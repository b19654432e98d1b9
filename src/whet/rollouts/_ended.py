"""How a rollout ends an attempt itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from whet.types import Stop, Trajectory


def ended(trajectory: Trajectory, stop: Stop, **info: Any) -> Trajectory:
    """The attempt, over for the reason `stop`, with more to know of it."""
    return replace(trajectory, stop=stop, info={**trajectory.info, **info})
