"""What the doctor says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong ("error": the run would be in vain) or looks wrong ("warning"): what should hold, what
    was found, and what to do about it. `name` is that of the fault: "eos", "stale weights"."""

    name: str
    what: str
    got: str
    do: str
    level: Literal["error", "warning"] = "error"

    def line(self) -> str:
        return f"{self.name}: {self.what}; got {self.got}; {self.do}"


def errors(findings: Sequence[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.level == "error"]
