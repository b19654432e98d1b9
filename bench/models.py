"""The model files that both sides load, made once and kept in .bench/."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from bench.workload import Case, model
from whet.describe import fingerprint
from whet.models.lm import save
from whet.objectives.likelihood import Likelihood
from whet.run import Run
from whet.schedule import Linear
from whet.stages.learning import Train
from whet.stages.sft import SFT

CACHE = Path(__file__).resolve().parents[1] / ".bench"


def model_file(case: Case) -> Path:
    """A folder in Hugging Face format with a model that has imitated the case's solutions for a while, so that its
    completions are as long as theirs; or a fresh one. Made if it is not there yet: about a minute. Outside an event
    loop only."""
    tiny, rate = model(case.size), 3e-3 if case.size == "S" else 1.5e-3
    stages = []
    if case.trained:
        train = Train(Likelihood(), lr=Linear(rate, rate / 10, case.trained), warmup=10, betas=(0.9, 0.98))
        stages = [SFT(case.task, steps=case.trained, problems=64, train=train)]
    place = CACHE / f"{case.name.replace(' ', '-')}-{fingerprint(tiny, *stages)[:8]}"
    if not (place / "config.json").exists():
        lm = tiny.build(0)
        if stages:
            with tempfile.TemporaryDirectory() as folder:
                run = Run(Path(folder), 0, {"policy": lm}, stages)
                asyncio.run(run.go())
            lm = run.lms["policy"]
        save(lm, place)
    return place
