"""The source of a mixture that a policy does worst at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from whet.files import read_json
from whet.metrics.measures import Final


@dataclass(frozen=True)
class Worst:
    """min over sources of the mean of a metric over the source's problems, of an evaluation after training on a
    `Mixture`; one number per run. The name before the first ":" of a problem's id is its source. ValueError where
    problems have none."""

    metric: str = "pass@1"
    evaluation: str = "test"

    @property
    def name(self) -> str:
        return f"{Final(self.metric, self.evaluation).name} of the worst source"

    def __call__(self, folder: Path) -> np.ndarray:
        file = folder / "evaluations" / "after" / f"{self.evaluation}.json"
        values = Final(self.metric, self.evaluation)(folder)
        sources = [problem.partition(":") for problem in read_json(file)["problems"]]
        if not all(mark for _, mark, _ in sources):
            raise ValueError(f"{file} has problems without a source; evaluate on a Mixture, or measure something else")
        names = np.array([name for name, _, _ in sources])
        return np.array([min(float(np.nanmean(values[names == name])) for name in dict.fromkeys(names.tolist()))])
