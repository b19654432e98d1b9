"""A user's own reward function as a term."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from whet.rewards.text import response
from whet.types import Group
from whet.verifiers.user import UserFunction


@dataclass(frozen=True)
class UserReward:
    """value_G = f(prompts_G, completions_G, **columns_G) for the function of `path`, "file.py:function".

    It gets lists with one entry per attempt: the prompt and the response as text, or, where the problem's prompt is
    chat messages, as lists of messages, [{"role": "assistant", "content": ...}] for a response. Columns are the data
    row's own (`problem.info["columns"]`) and `answer`; `columns` picks some of them, None gives all. The function runs
    in a process of its own with `deadline` seconds per call. NaN or None is "no verdict".

    Raises ValueError for a wrong path or deadline, a column that is not there, a prompt that is neither text nor
    messages, and whatever `whet.verifiers.user.UserFunction` objects to.
    """

    path: str
    columns: tuple[str, ...] | None = None
    deadline: float = 60.0

    def __post_init__(self) -> None:
        UserFunction(self.path, self.deadline)

    async def __call__(self, group: Group) -> Tensor:
        prompt, count = group.problem.prompt, len(group.trajectories)
        texts = [response(trajectory) for trajectory in group.trajectories]
        if isinstance(prompt, str):
            completions: list[Any] = texts
        elif all(isinstance(part, dict) and "role" in part for part in prompt):
            completions = [[{"role": "assistant", "content": text}] for text in texts]
        else:
            raise ValueError(
                f"problem {group.problem.id!r} has media in its prompt, which {self.path} can not be given"
            )
        columns = {name: [value] * count for name, value in self._columns(group).items()}
        values = await UserFunction(self.path, self.deadline)([prompt] * count, completions, columns)
        return torch.tensor(values)

    def _columns(self, group: Group) -> dict[str, Any]:
        problem = group.problem
        there = {"answer": problem.answer, **problem.info.get("columns", {})}
        if self.columns is None:
            return there
        missing = [name for name in self.columns if name not in there]
        if missing:
            raise ValueError(
                f"problem {problem.id!r} has no column {missing[0]!r}; it has {', '.join(there)}; rename it"
            )
        return {name: there[name] for name in self.columns}


EXAMPLES: list[UserReward] = []  # there is none without a file of the user's
