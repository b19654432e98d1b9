"""The multi-turn rollout: the policy acts, the environment answers."""

from __future__ import annotations

from asyncio import gather
from dataclasses import dataclass, replace
from typing import Protocol

from whet.idle import outside
from whet.randomness import stream
from whet.rollouts._ended import ended
from whet.schedule import Count
from whet.types import Decoding, Episode, Group, ModelName, Models, Policy, Problem, Step, Trajectory


class Playable(Protocol):
    """A task whose problems are answered by an environment."""

    def episode(self, problem: Problem) -> Episode: ...


@dataclass(frozen=True)
class Converse:
    """a_1, o_1, a_2, o_2, ...: a_k ~ policy(. | prompt, a_1, o_1, ..., o_{k-1}) is what one `extend` adds; o_k is what
    the episode answers to its text, inserted as a message of `role` ("env", or "tool" or "user" where a model's chat
    template knows no other). `group` such attempts, each with an episode of its own, make one group `name`.

    An attempt ends when the episode ends (stop "env"; `info["end"]` is "done" or "truncated", and the last observation,
    which nobody answers, is `info["observation"]`), when an action or the context reaches its limit, or after `turns`
    actions (both "length"; an action that was cut off is not played). An episode's own failure ends it too: stop
    "error", `info["error"]` says how. The reward of step k is the `Turn.reward` of action k.

    The engine waits for episodes, so what shares a batch does not depend on how long they take; an episode can
    therefore not itself ask a model of the run.
    """

    task: Playable
    group: Count = 8
    decoding: Decoding = Decoding()
    turns: Count = 8
    role: str = "env"
    model: ModelName = "policy"
    name: str = "direct"

    def __post_init__(self) -> None:
        if not hasattr(self.task, "episode"):
            raise ValueError(
                f"Converse.task must have episode(problem), {type(self.task).__name__} has none; use Sample"
            )
        for field in ("group", "turns"):
            value = getattr(self, field)
            if isinstance(value, int | float) and value < 1:
                raise ValueError(f"Converse.{field} must be at least 1, got {value}")

    async def __call__(self, models: Models, problem: Problem, seed: int) -> list[Group]:
        policy = models[self.model]
        opened = policy.open(problem)
        seeds = [stream(seed, "attempt", g) for g in range(int(self.group))]
        attempts = await gather(*(self._attempt(policy, opened, s) for s in seeds))
        return [Group(problem, tuple(attempts), self.name)]

    async def _attempt(self, policy: Policy, trajectory: Trajectory, seed: int) -> Trajectory:
        try:
            episode = self.task.episode(trajectory.problem)
        except Exception as error:  # a task's code may raise anything: a bad rollout is data
            return ended(trajectory, "error", error=_told(error))
        for k in range(int(self.turns)):
            trajectory = await policy.extend(trajectory, self.decoding, stream(seed, "turn", k))
            if trajectory.stop == "length":
                return trajectory
            try:
                with outside():
                    step = await episode.step(trajectory.turns[-1].text)
                if not isinstance(step, Step):
                    raise TypeError(f"step must return a Step, got {type(step).__name__}")
                reward = float(step.reward)
            except Exception as error:
                return ended(trajectory, "error", error=_told(error))
            action = replace(trajectory.turns[-1], reward=reward)
            trajectory = replace(trajectory, turns=(*trajectory.turns[:-1], action))
            if step.end:
                return ended(trajectory, "env", end=step.end, observation=step.content)
            if k + 1 < int(self.turns):
                trajectory = policy.insert(trajectory, step.content, self.role)
            if trajectory.stop == "length":
                return trajectory
        return ended(trajectory, "length", end="turns")


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


EXAMPLES: list[Converse] = []  # there is none without a task
