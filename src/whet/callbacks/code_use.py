"""When, how often and how well a policy runs code."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from whet.tools.snippets import snippets
from whet.types import Scored, sampled_count


@dataclass(frozen=True)
class CodeUse:
    """Notes in each step's metrics, over all attempts that were played:

    code/ratio          the share that runs code; "code/ratio/SOURCE" of the problems of one source of a `Mixture`
    code/first          where the first call is: the share of an attempt's sampled tokens that are written by then
    code/passed/right   the share of snippets without an error, in attempts whose term `term` is above 0
    code/passed/wrong   the same in the others
    code/fixed          of the attempts in which a snippet failed, the share in which a later one did not

    A metric without anything to speak of is left out; so are attempts without a verdict.
    Source: the analyses of ReTool (Feng et al. 2025, arXiv 2504.11536).
    """

    term: str = "correct"

    async def __call__(self, run: Any, step: int, scored_P: list[Scored]) -> None:
        seen: dict[str, list[float]] = defaultdict(list)
        for scored in scored_P:
            source = scored.group.problem.info.get("source")
            values = scored.terms[self.term].tolist()
            for trajectory, value in zip(scored.group.trajectories, values, strict=True):
                if value != value:
                    continue
                ran = snippets(trajectory)
                seen["ratio"].append(float(bool(ran)))
                if source is not None:
                    seen[f"ratio/{source}"].append(float(bool(ran)))
                if ran:
                    seen["first"].append(ran[0].until / sampled_count(trajectory))
                seen["passed/right" if value > 0 else "passed/wrong"] += [float(not one.failed) for one in ran]
                failures = [k for k, one in enumerate(ran) if one.failed]
                if failures:
                    seen["fixed"].append(float(any(not one.failed for one in ran[failures[0] :])))
        run.note({f"code/{name}": sum(of) / len(of) for name, of in seen.items() if of})
