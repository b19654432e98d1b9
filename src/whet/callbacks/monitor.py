"""A monitoring set: problems that the policy is asked again and again while it trains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from whet.schedule import Count
from whet.scoring import judged
from whet.types import Scored, sampled_count


@dataclass(frozen=True)
class Monitor:
    """Every `every` steps play `evaluation` (a stage `Evaluate`, of which task, split, rollout and reward count) with
    the weights as they are, and hand the groups, without attempts that got no verdict, to `into.refresh(scored_P)`,
    whose numbers are noted in the step's metrics. Its sampled tokens count as the run's: nobody gets them for nothing.

    `into` is a part with `state` that stands in the stage once more, where it is used: `rewards.targets
    .TargetByDifficulty` in a reward. A stage is copied whole, so the two places are one object, and what it knows is in
    every checkpoint.

    Raises ValueError unless `every` is 1 or more.
    """

    evaluation: Any
    into: Any
    every: Count = 20  # our choice

    def __post_init__(self) -> None:
        if isinstance(self.every, int | float) and self.every < 1:
            raise ValueError(f"Monitor.every must be at least 1 step, got {self.every}")

    def check(self, run: Any) -> None:
        """The evaluation could be played."""
        self.evaluation.check(run)

    async def __call__(self, run: Any, step: int, scored_P: list[Scored]) -> None:
        if (step + 1) % int(self.every):
            return
        played = await self.evaluation.play(run.live(), run.stream("monitor", step))
        tokens = sum(sampled_count(t) for scored in played for t in scored.group.trajectories)
        run.tokens += tokens
        run.note({**self.into.refresh(judged(played)), "monitor/tokens": float(tokens)})
