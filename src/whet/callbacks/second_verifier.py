"""A checker that nobody learns from, beside the one that everybody learns from: how far do they agree?"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import Any

from whet.randomness import generator
from whet.schedule import Count, Number
from whet.scoring import Weighted
from whet.types import Scored, Term

_CASES = 16  # our choice: of a step that are kept


@dataclass(frozen=True)
class SecondVerifier:
    """Every `every` steps `hidden` scores `groups` of the step's groups, drawn at random, and these are noted:

    hidden/seen      mean of the reward's own term `term`, over those attempts
    hidden/hidden    mean of `hidden`, over the same
    hidden/gap       the first less the second: what the policy has learned to get from `term` alone

    The attempts with the largest difference go to `hidden/STAGE-STEP.json`, {"problem", "slot", "group", "attempt",
    "seen", "hidden"} of each, for people to look at.

    An attempt that has no verdict (NaN) on either side is in no mean; a step without any notes nothing. The stage ends
    once the mean gap of the last `over` looks is above `most`. `hidden` is never part of the gradient.

    Raises ValueError unless `every`, `groups` and `over` are 1 or more; and, when first called, for a `term` that the
    reward does not have.
    """

    hidden: Term
    term: str = "correct"
    groups: Count = 4
    every: int = 1
    most: Number = inf
    over: int = 5
    state: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("every", "groups", "over"):
            value = getattr(self, name)
            if isinstance(value, int | float) and value < 1:
                raise ValueError(f"SecondVerifier.{name} must be at least 1, got {value}")

    async def __call__(self, run: Any, step: int, scored_P: list[Scored]) -> None:
        if (step + 1) % self.every or not scored_P:
            return
        if self.term not in scored_P[0].terms:
            raise ValueError(
                f"SecondVerifier.term is {self.term!r} and the terms of this reward are {sorted(scored_P[0].terms)}"
            )
        rng = generator(run.stream("second verifier", step))
        chosen = sorted(rng.permutation(len(scored_P))[: int(self.groups)].tolist())
        reward = Weighted({"hidden": self.hidden})
        seen, hidden, cases = [], [], list[dict[str, Any]]()
        for scored in (scored_P[i] for i in chosen):
            mine = scored.terms[self.term].double()
            other = (await reward(run.live(), scored.group)).terms["hidden"].double()
            both = ~(mine.isnan() | other.isnan())
            seen += mine[both].tolist()
            hidden += other[both].tolist()
            place = {"problem": scored.group.problem.id, "slot": scored.group.slot, "group": scored.group.name}
            cases += [
                {**place, "attempt": g, "seen": mine[g].item(), "hidden": other[g].item()}
                for g in (mine - other > 0).nonzero()[:, 0].tolist()
            ]
        if not seen:
            return
        means = sum(seen) / len(seen), sum(hidden) / len(hidden)
        gap = means[0] - means[1]
        run.note({"hidden/seen": means[0], "hidden/hidden": means[1], "hidden/gap": gap})
        if cases:
            worst = sorted(cases, key=lambda case: case["hidden"] - case["seen"])[:_CASES]
            run.artifact(f"hidden/{run.number}-{step:08d}.json", worst)
        self.state["gaps"] = [*self.state.get("gaps", []), gap][-self.over :]
        late = self.state["gaps"]
        if len(late) == self.over and sum(late) / len(late) > float(self.most):
            run.stop(f"{self.term} is {sum(late) / len(late):.3f} above what a hidden verifier says")
