"""A second try, with a hint, at what nobody could solve; what it brings is learned as if there had been no hint."""

from __future__ import annotations

import inspect
import json
import re
from asyncio import gather
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch

from whet.randomness import stream
from whet.schedule import Count
from whet.types import Content, Decoding, Group, Judged, ModelName, Models, Policy, Problem, Term, Trajectory


@dataclass(frozen=True)
class Hinted:
    """y_1 .. y_G ~ policy(. | q)            G = `group` attempts, those of `Sample`, to the token
    y'_1 .. y'_G ~ policy(. | q, g)          if, and only if, solved(y_i) < 1 for all of them,

    with q the problem's prompt and g its hint, `problem.info[hint]`, a text that stands behind the prompt and `join`
    (in a chat, at the end of the last message). An attempt without a verdict (NaN) says nothing; where all have none,
    there is no second try.

    Guided attempts are grafted behind q: the row that is learned from holds no token of the hint, and the log-probs are
    those that the sampler gave with the hint before its eyes. A ratio against them is pi(y'_t | q, y'_<t) / pi_old(y'_t
    | q, g, y'_<t), token by token, so any clipped objective makes the correction; a critic reads q alone, too. With
    `corrected` off, log-probs are computed anew behind q and the correction is gone (an ablation).

    If a plain attempt succeeds there is one group, `name`. Else `rule` says who is compared:
        "replace"   the guided attempts make a group "guided"; the plain ones make another, "failed", that nobody learns
                    from: its tokens are counted, and not trained.
        "union"     all 2 G attempts make one group "guided".
    With `hint` None the second try is plain, in a group "again": as many attempts as with hints, for a fair comparison.
    Attempts of groups with such names are counted in the log ("attempts/guided"). A guided group in which all fail, or
    all succeed, has no group-relative advantage, so no gradient; `filters.mixed.Mixed` leaves it out altogether.

    Source: Adaptive Guidance (Guide-GRPO: Nath et al. 2025, "Adaptive Guidance Accelerates Reinforcement Learning of
    Reasoning Models"). Which attempts form a group is not told there: "replace" is our choice.

    Raises ValueError for fewer than one attempt, for an unknown rule, for a problem without a hint, for one whose hint
    holds its answer as a word of its own, which would teach copying, and where prompt and hint fill the context.
    """

    solved: Term
    hint: str | None = "hint"
    rule: Literal["replace", "union"] = "replace"
    corrected: bool = True
    group: Count = 8
    decoding: Decoding = Decoding()
    join: str = "\n"
    model: ModelName = "policy"
    name: str = "direct"

    def __post_init__(self) -> None:
        if isinstance(self.group, int | float) and self.group < 1:
            raise ValueError(f"Hinted.group must be at least 1 attempt, got {self.group}")
        if self.rule not in ("replace", "union"):
            raise ValueError(f'Hinted.rule must be "replace" or "union", got {self.rule!r}')

    async def __call__(self, models: Models, problem: Problem, seed: int) -> list[Group]:
        policy = models[self.model]
        opened, asked = policy.open(problem), self._asked(problem)
        plain = Group(problem, await self._attempts(policy, opened, seed, "attempt"), self.name)
        if not await self._all_failed(plain):
            return [plain]
        again = await self._attempts(policy, opened if asked is problem else policy.open(asked), seed, "again")
        if asked is not problem:
            again = tuple(replace(policy.graft(t, opened), problem=problem) for t in again)
            again = again if self.corrected else await _anew(policy, again)
        name = "again" if asked is problem else "guided"
        if self.rule == "union":
            return [Group(problem, (*plain.trajectories, *again), name)]
        failed = tuple(_untrained(trajectory) for trajectory in plain.trajectories)
        return [Group(problem, failed, "failed"), Group(problem, again, name)]

    def _asked(self, problem: Problem) -> Problem:
        """What the second try is asked: the problem itself where there are no hints."""
        if self.hint is None:
            return problem
        hint = problem.info.get(self.hint)
        if not isinstance(hint, str) or not hint.strip():
            raise ValueError(
                f"problem {problem.id!r} has no text info[{self.hint!r}]; give it a hint, or take Hinted(hint=None)"
            )
        if problem.answer is not None and _holds(hint, problem.answer):
            raise ValueError(
                f"the hint of problem {problem.id!r} holds its answer {problem.answer!r}, which would teach copying; "
                "hint at the way, not at the end"
            )
        return replace(problem, prompt=_behind(problem.prompt, self.join + hint))

    async def _attempts(self, policy: Policy, opened: Trajectory, seed: int, what: str) -> tuple[Trajectory, ...]:
        seeds = [stream(seed, what, g) for g in range(int(self.group))]
        return tuple(await gather(*(policy.extend(opened, self.decoding, s) for s in seeds)))

    async def _all_failed(self, group: Group) -> bool:
        value: Any = self.solved(group)
        value = await value if inspect.isawaitable(value) else value
        verdicts = torch.as_tensor(value.values if isinstance(value, Judged) else value, dtype=torch.float32)
        known = verdicts[~verdicts.isnan()]
        return len(known) > 0 and bool((known < 1).all())


def _holds(hint: str, answer: Any) -> bool:
    """Whether the answer stands in the hint as a word of its own: "6" does in "so 6." and not in "46"."""
    text = (answer if isinstance(answer, str) else json.dumps(answer)).strip()
    return bool(text) and re.search(rf"(?<!\w){re.escape(text)}(?!\w)", hint) is not None


def _behind(prompt: Content, text: str) -> Content:
    if isinstance(prompt, str):
        return prompt + text
    parts: Sequence[Any] = prompt
    if parts and isinstance(parts[-1], dict):
        last = parts[-1]
        return [*parts[:-1], {**last, "content": _behind(last["content"], text)}]
    return [*parts, text]


async def _anew(policy: Policy, attempts: Sequence[Trajectory]) -> tuple[Trajectory, ...]:
    """The attempts with the policy's own log-probs of their tokens, in the contexts where they now stand."""
    said = await policy.score([trajectory.rows[-1] for trajectory in attempts])
    out = []
    for trajectory, told in zip(attempts, said, strict=True):
        row = trajectory.rows[-1]
        logprobs = torch.where(row.sampled, told["logprobs"].to(row.logprobs), 0.0)
        row = replace(row, logprobs=logprobs, grafted=False)
        out.append(replace(trajectory, rows=(*trajectory.rows[:-1], row)))
    return tuple(out)


def _untrained(trajectory: Trajectory) -> Trajectory:
    rows = (replace(row, trained=torch.zeros_like(row.trained)) for row in trajectory.rows)
    return replace(trajectory, rows=tuple(rows))


def _nobody(group: Group) -> torch.Tensor:
    return torch.zeros(len(group.trajectories))


EXAMPLES = [
    Hinted(_nobody, hint=None, group=3, decoding=Decoding(max_tokens=5)),
    Hinted(_nobody, hint=None, rule="union", group=2, decoding=Decoding(max_tokens=5)),
]
