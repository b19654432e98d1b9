"""Whether the reasoning is right, whatever the answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from whet.rewards.text import response, tagged
from whet.rewards.verified import Verified
from whet.types import Group, Judged, Problem, Trajectory, Turn


@dataclass(frozen=True)
class Reasoned:
    """value_g = 1 if the verifier calls right what attempt g wrote inside its tag `tag`, given the question; else 0,
    and NaN for a failure of ours, as with `rewards.verified.Verified`.

    `verifier` gets the reasoning and {"question": the problem's last message} as JSON, and never sees the answer:
    "steps" wants every step of arithmetic true, and all of them there. Beside a term for the answer it is what
    CoT-pass@k counts: "Reinforcement Learning with Verifiable Rewards Implicitly Incentivizes Correct Reasoning in Base
    LLMs" (Wen et al. 2025, arXiv 2506.14245), there by a language model as judge. An attempt without a thought is
    "unparseable". Raises ValueError for an unknown verifier or option, and for a problem that asks no text.
    """

    verifier: str = "steps"
    tag: str = "think"
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        Verified(self.verifier, "all", self.options)

    async def __call__(self, group: Group) -> Judged:
        thoughts = tuple(_thought(trajectory, self.tag) for trajectory in group.trajectories)
        asked = replace(group.problem, answer={"question": _question(group.problem)})
        return await Verified(self.verifier, "all", self.options)(replace(group, problem=asked, trajectories=thoughts))


def _thought(trajectory: Trajectory, tag: str) -> Trajectory:
    """The attempt as if it had said its thought and nothing else."""
    last = len(trajectory.rows) - 1
    thought = Turn("policy", tagged(response(trajectory), tag) or "", last, 0, len(trajectory.rows[last]))
    return replace(trajectory, turns=(thought,))


def _question(problem: Problem) -> str:
    asked = problem.prompt if isinstance(problem.prompt, str) else problem.prompt[-1]
    asked = asked.get("content") if isinstance(asked, dict) else asked
    if not isinstance(asked, str):
        raise ValueError(f"problem {problem.id!r} asks no text that reasoning could be checked against")
    return asked


steps = Reasoned("steps")
