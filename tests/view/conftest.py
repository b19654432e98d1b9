"""A browser and a real run, made once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.browsing import chromium
from helpers.commands import finish

SMALL = ("steps=4", "grpo.0.problems=4", "model.stages.0.steps=40", "model.stages.1.steps=5", "evaluate.0.problems=8")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make train` makes, with few steps, for two seeds: `quickstart/grpo-seed0` and `-seed1`."""
    root = tmp_path_factory.mktemp("runs")
    settings = [word for setting in SMALL for word in ("--set", setting)]
    for seed in ("0", "1"):
        out, log = root / "quickstart" / f"grpo-seed{seed}", root / ".log"
        assert finish("run", "quickstart", "--seed", seed, "--out", out, *settings, log=log) == 0, log.read_text()
    return root
