"""Environments of Gymnasium, played in words (extra `gymnasium`)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from whet.randomness import stream
from whet.tasks.splits import check_place
from whet.types import Episode, Problem, Step

_COLOURED = re.compile(r"\x1b\[[0-9;]+m(.*?)\x1b\[0m")  # what a text rendering marks by colour
_SEEDS = 2**31  # our choice: environments take seeds below it


@dataclass(frozen=True)
class Gymnasium:
    """The Gymnasium environment `name`, made with `config`: a state is told in words, the reply's action is taken, and
    so on until it ends. Actions must be `Discrete`; the rewards are the environment's own.

    Problem i of a split is the environment reset with a seed from its own stream; the prompt is `question` ("": what an
    answer may be) and the first state. A state is told as `describe(observation)`, else as what the environment renders
    where `config` has render_mode "ansi", else as str(observation). An action is what stands in the last
    <answer>...</answer>, or in the whole reply: one of the names `actions`, in the environment's order, or a number,
    the last if there are several. A reply without one moves nothing, costs a turn and says what may be said.

    Splits have different seeds; an environment that always begins alike begins alike in all of them. Forks play the
    actions again, so they are right where the seed decides everything, as Gymnasium asks of its environments.

    ImportError without the extra; ValueError for an unknown or uninstalled environment, a wrong config, actions that
    are not `Discrete`, and another number of names than of actions.
    """

    name: str = "FrozenLake-v1"
    config: Mapping[str, Any] = field(default_factory=dict)
    actions: tuple[str, ...] = ()
    question: str = ""
    describe: Callable[[Any], str] | None = None
    system: str = ""
    seed: int = 0

    def __post_init__(self) -> None:
        space = _shown(self.name, self._settings()).action_space
        if type(space).__name__ != "Discrete":
            raise ValueError(
                f"Gymnasium({self.name!r}) takes actions of {space}, and only Discrete ones can be said in a word; "
                "choose another environment, or wrap it so that a few actions stand for them"
            )
        if self.actions and len(self.actions) != space.n:
            raise ValueError(f"Gymnasium.actions must name {space.n} actions of {self.name!r}, got {self.actions}")

    def size(self, split: str) -> int | None:
        return None

    def problem(self, split: str, i: int) -> Problem:
        check_place(f"Gymnasium({self.name!r})", split, i)
        seed = stream(self.seed, "gymnasium", self.name, split, i) % _SEEDS
        env = _shown(self.name, self._settings())
        state = self.told(env, env.reset(seed=seed)[0])
        question = self.question or f"Each turn you see a state and take an action. {self.choices()}"
        messages = [{"role": "system", "content": self.system}] if self.system else []
        return Problem(
            id=f"{self.name}/{split}/{i}",
            prompt=[*messages, {"role": "user", "content": f"{question}\n\n{state}"}],
            info={"seed": seed},
        )

    def episode(self, problem: Problem) -> Episode:
        return Playing(self, problem.info["seed"])

    def make(self) -> Any:
        return _create(self.name, self._settings())

    def choices(self) -> str:
        """What may be said, as a sentence."""
        space = _shown(self.name, self._settings()).action_space
        numbers = range(int(space.start), int(space.start + space.n))
        if self.actions:
            said = ", ".join(f"{k} ({name})" for k, name in zip(numbers, self.actions, strict=True))
        else:
            said = f"{numbers[0]} to {numbers[-1]}"
        return f"Answer with one action, {said}, as in <answer>{(self.actions or numbers)[0]}</answer>."

    def told(self, env: Any, observation: Any) -> str:
        """A state in words."""
        if self.describe is not None:
            return self.describe(observation)
        if self.config.get("render_mode") == "ansi":
            return _COLOURED.sub(r"[\1]", str(env.render())).strip("\n")
        return str(observation)

    def understood(self, reply: str) -> int | None:
        """The action a reply names; None if it names none."""
        space = _shown(self.name, self._settings()).action_space
        start, count = int(space.start), int(space.n)
        inside = reply.rpartition("</answer>")[0].rpartition("<answer>")
        said = inside[2] if inside[1] else reply
        names = {name.lower(): start + k for k, name in enumerate(self.actions)}
        for word in reversed(re.findall(r"-?\d+|[^\W\d]+", said.lower())):
            if word in names:
                return names[word]
            if word.lstrip("-").isdecimal() and len(word) < 10 and start <= int(word) < start + count:
                return int(word)
        return names.get(said.strip().lower())

    def _settings(self) -> str:
        try:
            return json.dumps(dict(self.config), sort_keys=True)
        except TypeError as error:
            raise ValueError(f"Gymnasium.config must hold JSON values only, got {self.config!r}: {error}") from error


class Playing:
    """One attempt. Single use: a step after the end raises RuntimeError."""

    def __init__(self, task: Gymnasium, seed: int, taken: Sequence[int] = ()) -> None:
        self.task, self.seed = task, seed
        self.env: Any = task.make()
        self.env.reset(seed=seed)
        for action in taken:
            self.env.step(action)
        self.taken = list(taken)
        self.over = False

    async def step(self, action: str) -> Step:
        if self.over:
            raise RuntimeError("this attempt is over: open another episode")
        chosen = self.task.understood(action)
        if chosen is None:
            return Step(self.task.choices())
        self.taken.append(chosen)
        observation, reward, terminated, truncated, _ = self.env.step(chosen)
        said = self.task.told(self.env, observation)
        if terminated or truncated:
            self.over = True
            self.env.close()
        return Step(said, float(reward), "done" if terminated else "truncated" if truncated else "")

    def fork(self) -> Playing:
        if self.over:
            raise RuntimeError("this attempt is over: open another episode")
        return Playing(self.task, self.seed, self.taken)


@lru_cache(maxsize=16)
def _shown(name: str, settings: str) -> Any:
    """An environment that first states are read off; nobody plays in it."""
    return _create(name, settings)


def _create(name: str, settings: str) -> Any:
    try:
        import gymnasium
    except ImportError as error:
        raise ImportError("gymnasium is not installed; run: pip install 'whet[gymnasium]'") from error
    try:
        return gymnasium.make(name, **json.loads(settings))
    except (gymnasium.error.Error, ImportError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"Gymnasium can not make {name!r} with {settings}: {error}") from error
