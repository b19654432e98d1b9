"""How far `whet explain` is from what a run takes: time of a step and peak memory of the quickstart, with its own model
and one of 6M parameters, by both tiers of the engine.

    python -m bench.explain               (nothing else should be at work; about five minutes)

Every prediction and every run has a process of its own. A run's step is the median of its first steps but two.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

STEPS = 6  # attempts grow longer as the policy learns, and what is predicted is a step as it is now
MODELS = {"S": (128, 4), "M": (256, 6)}  # width, layers
TIERS = ("fast", "reference")
RECIPE = """
from dataclasses import replace
from whet.recipes.quickstart import recipe as own
tiny = replace(own.model.model, width={width}, layers={layers}, inter=4 * {width})
stage = replace(own.arms["grpo"][0], steps={steps})
recipe = replace(own, model=replace(own.model, model=tiny), arms={{"grpo": [stage]}}, evaluate=[])
"""


def main() -> None:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for size, (width, layers) in MODELS.items():
            file = Path(folder) / f"{size}.py"
            file.write_text(RECIPE.format(width=width, layers=layers, steps=STEPS))
            _asked("make", file, "auto")
            for tier in TIERS:
                said, took = _asked("explain", file, tier), _asked("run", file, tier)
                rows.append({"model": size, "tier": tier, **_compared(said, took)})
                print(json.dumps(rows[-1]), flush=True)
    worst = {what: max(abs(row[what]["off"]) for row in rows) for what in ("seconds", "bytes")}
    print(json.dumps({"worst": worst}))


def _compared(said: Any, took: Any) -> dict[str, Any]:
    return {
        what: {"predicted": said[what], "measured": took[what], "off": said[what] / took[what] - 1}
        for what in ("seconds", "bytes", "length")
    }


def _asked(what: str, file: Path, tier: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "bench.explain", what, str(file), tier], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def one(what: str, file: str, tier: str) -> dict[str, Any]:
    from whet.explaining import explained
    from whet.launch import Order, find, start
    from whet.recipe import make
    from whet.run import Silent

    order = Order(file, machine=f"cpu,engine={tier}")
    if what == "make":
        make(find(order).model, 0)
        return {}
    if what == "explain":
        (stage,) = explained(replace(order, arm="grpo"))["stages"]
        length = stage["tokens"]["attempt_expected"]
        return {"seconds": stage["seconds"]["step"], "bytes": stage["memory"]["total"], "length": length}
    with tempfile.TemporaryDirectory() as folder:
        start(order, Path(folder) / "run", Silent())
        log = (Path(folder) / "run" / "metrics.jsonl").read_text().splitlines()
    lines = [json.loads(line) for line in log][2:]
    status = Path("/proc/self/status").read_text().split()
    return {
        "seconds": statistics.median(line["time/play"] + line["time/learn"] for line in lines),
        "bytes": int(status[status.index("VmHWM:") + 1]) * 1024,
        "length": statistics.mean(line["length/mean"] for line in lines),
    }


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(one(*sys.argv[1:])))
    else:
        main()
