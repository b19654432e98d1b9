"""The rollout with tools: the policy calls, tools answer, until it calls no more."""

from __future__ import annotations

from asyncio import gather
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from whet.idle import outside
from whet.randomness import stream
from whet.rollouts._ended import ended
from whet.schedule import Count
from whet.types import Decoding, Group, ModelName, Models, Policy, Problem, Trajectory

Session = Callable[[str], Awaitable[str | None]]


class Tools(Protocol):
    """What a policy may call, say `tools.called.Called` or `tools.interpreter.Interpreter`."""

    def session(self) -> Session:
        """For one attempt: what the policy has just written -> what comes back, or None if it called nothing."""
        ...


@dataclass(frozen=True)
class Interact:
    """a_1, o_1, a_2, o_2, ..., a_n: a_k ~ policy(. | prompt, a_1, o_1, ..., o_{k-1}) is what one `extend` adds, and
    o_k = session(a_k), which no model chose and no loss sees. An attempt ends with the first a_k that calls nothing.
    `group` such attempts, each with a session of its own, make one group `name`.

    `role`: the observation is a message of this role in the chat template; None: its text as it stands, within the same
    turn. `decoding.stop` must end an action behind a call where the end of the turn does not. An action that is cut off
    by its limit or the context calls nothing (stop "length"); so does the last of `turns` actions if it still calls
    (`info["end"]` is "turns"). A failure of the tools themselves ends the attempt with stop "error"; whatever the model
    has done wrong is an observation.

    The engine waits for tools, so what shares a batch does not depend on how long they take.

    Raises ValueError for fewer than one attempt or turn, and for `tools` without a session.
    """

    tools: Tools
    group: Count = 8
    decoding: Decoding = Decoding()
    turns: Count = 4
    role: str | None = "tool"
    model: ModelName = "policy"
    name: str = "direct"

    def __post_init__(self) -> None:
        if not hasattr(self.tools, "session"):
            raise ValueError(f"Interact.tools must have a session(), {type(self.tools).__name__} has none")
        for field in ("group", "turns"):
            value = getattr(self, field)
            if isinstance(value, int | float) and value < 1:
                raise ValueError(f"Interact.{field} must be at least 1, got {value}")

    async def __call__(self, models: Models, problem: Problem, seed: int) -> list[Group]:
        policy = models[self.model]
        opened = policy.open(problem)
        seeds = [stream(seed, "attempt", g) for g in range(int(self.group))]
        attempts = await gather(*(self._attempt(policy, opened, s) for s in seeds))
        return [Group(problem, tuple(attempts), self.name)]

    async def _attempt(self, policy: Policy, trajectory: Trajectory, seed: int) -> Trajectory:
        session = self.tools.session()
        for k in range(int(self.turns)):
            trajectory = await policy.extend(trajectory, self.decoding, stream(seed, "turn", k))
            if trajectory.stop == "length":
                return trajectory
            try:
                with outside():
                    observation = await session(trajectory.turns[-1].text)
            except Exception as error:  # the tools' own failure: a bad rollout is data
                return ended(trajectory, "error", error=f"{type(error).__name__}: {error}")
            if observation is None:
                return trajectory
            if k + 1 < int(self.turns):
                trajectory = policy.insert(trajectory, observation, self.role)
            if trajectory.stop == "length":
                return trajectory
        return ended(trajectory, "length", end="turns")


EXAMPLES: list[Interact] = []  # there is none without tools
