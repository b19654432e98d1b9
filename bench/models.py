"""The model files that both sides load, made once and kept in .bench/."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from bench.workload import Case, model
from whet.describe import fingerprint
from whet.machines.profile import Machine
from whet.models.lm import save
from whet.objectives.likelihood import Likelihood
from whet.run import Run
from whet.schedule import Linear
from whet.stages.learning import Train
from whet.stages.sft import SFT

CACHE = Path(__file__).resolve().parents[1] / ".bench"


def model_file(case: Case) -> Path:
    """A folder in Hugging Face format with a model that has imitated the case's solutions for a while, so that its
    completions are as long as theirs. Made if it is not there yet: about a minute. Outside an event loop only."""
    tiny, rate = model(case.size), {"S": 3e-3, "M": 1.5e-3, "L": 3e-4}[case.size]
    train = Train(Likelihood(), lr=Linear(rate, rate / 10, case.trained), warmup=10, betas=(0.9, 0.98))
    stage = SFT(case.task, steps=case.trained, problems=64, train=train)
    place = CACHE / f"{case.name.replace(' ', '-')}-{fingerprint(tiny, stage)[:8]}"
    if not (place / "config.json").exists():
        with tempfile.TemporaryDirectory() as folder:
            run = Run(Path(folder), 0, {"policy": tiny.build(0)}, [stage], Machine(device=case.device))
            asyncio.run(run.go())
        save(run.lms["policy"], place)
    return place
