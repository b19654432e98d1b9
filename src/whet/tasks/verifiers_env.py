"""Environments of Prime Intellect's `verifiers` (extra `verifiers`)."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import json
import sys
import weakref
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from whet.tasks.splits import held_out
from whet.types import Episode, Message, Problem, Step


@dataclass(frozen=True)
class VerifiersEnv:
    """The environment `name` of `verifiers` (0.4 or later): an installed one, or the .py file of one, whose taskset is
    made with `config`. Problems are its tasks; what it answers and the reward are its own.

    A task without an environment of its own is answered in one turn; one with an environment that talks with its agent
    turn by turn is played so. The reward is the sum of the trace's weighted rewards and falls on the last turn.

    Of the first `limit` tasks, "validation" and "test" hold out the share `holdout` each, by a hash of the prompt, and
    "train" is the rest. Forks say the same again. `deadline`: seconds for an environment's answer, its reward included.

    Its code runs in this process. ImportError without the extra; ValueError for what can not be loaded, and for
    environments that need more than words: several agents, tools, a container, services of their own, a user who opens
    the conversation.
    """

    name: str
    config: Mapping[str, Any] = field(default_factory=dict)
    holdout: float = 0.1
    limit: int = 10_000  # our choice
    deadline: float = 60.0  # our choice

    def __post_init__(self) -> None:
        if not 0 < self.holdout < 0.5:
            raise ValueError(f"VerifiersEnv.holdout is a share in (0, 0.5), got {self.holdout}")
        if self.limit < 3 or self.deadline <= 0:
            raise ValueError(
                f"VerifiersEnv needs a limit of 3 tasks or more and a deadline above 0 s, got {self.limit} and "
                f"{self.deadline}"
            )
        self._loaded()

    def size(self, split: str) -> int | None:
        return len(self._places(split))

    def problem(self, split: str, i: int) -> Problem:
        places = self._places(split)
        if not 0 <= i < len(places):
            raise ValueError(f"{self.name}: {split!r} has {len(places)} tasks, got index {i}")
        place = places[i]
        _, tasks, prompts = self._loaded()
        answer = getattr(tasks[place].data, "answer", None)
        return Problem(
            id=f"{Path(self.name).stem}/{split}/{place}",
            prompt=prompts[place],
            answer=answer if isinstance(answer, str) else None,
            info={"place": place},
        )

    def episode(self, problem: Problem) -> Episode:
        env, tasks, _ = self._loaded()
        return Attempt(env, tasks[problem.info["place"]], self.deadline)

    def _places(self, split: str) -> list[int]:
        splits = _splits(self.name, self._settings(), self.limit, self.holdout)
        if split not in splits:
            raise ValueError(f"{self.name}: no split {split!r}; there are {', '.join(sorted(splits))}")
        return splits[split]

    def _loaded(self) -> tuple[Any, list[Any], list[list[Message]]]:
        return _load(self.name, self._settings(), self.limit)

    def _settings(self) -> str:
        try:
            return json.dumps(dict(self.config), sort_keys=True)
        except TypeError as error:
            raise ValueError(f"VerifiersEnv.config must hold JSON values only, got {self.config!r}: {error}") from error


class Attempt:
    """One attempt at a task. Single use: a step after the end raises RuntimeError.

    The environment's own loop runs beside the rollout, and waits where it asks its agent.
    """

    def __init__(self, env: Any, task: Any, deadline: float, said: tuple[str, ...] = ()) -> None:
        self.env, self.task, self.deadline = env, task, deadline
        self.replayed, self.said = list(said), list(said)
        self.table: _Table | None = None
        self.over = False

    async def step(self, action: str) -> Step:
        if self.over:
            raise RuntimeError("this attempt is over: open another episode")
        try:
            async with asyncio.timeout(self.deadline):
                for earlier in self.replayed:
                    await self._say(earlier)
                self.replayed.clear()
                step = await self._say(action)
        except TimeoutError:
            self.over = True
            raise TimeoutError(f"the environment did not answer within {self.deadline:g} s") from None
        self.said.append(action)
        self.over = bool(step.end)
        return step

    def fork(self) -> Attempt:
        if self.over:
            raise RuntimeError("this attempt is over: open another episode")
        return Attempt(self.env, self.task, self.deadline, tuple(self.said))

    async def _say(self, action: str) -> Step:
        if self.table is None:
            self.table = _Table()
            running = asyncio.ensure_future(_play(self.env, self.task, self.table))
            weakref.finalize(self, running.cancel)  # an attempt that is cut off is never finished
            await self.table.heard()  # the opening, which is the prompt
        self.table.actions.put_nowait(action)
        return await self.table.heard()


class _Table:
    """Where the two sides meet: what the policy says, and what the environment makes of it."""

    def __init__(self) -> None:
        self.actions: asyncio.Queue[str] = asyncio.Queue()
        self.steps: asyncio.Queue[Step | Exception] = asyncio.Queue()

    async def heard(self) -> Step:
        step = await self.steps.get()
        if isinstance(step, Exception):
            raise step
        return step


async def _play(env: Any, task: Any, table: _Table) -> None:
    """The environment's own loop with our policy in its agent's seat, to the end and the reward."""
    import verifiers.v1 as vf

    episode = vf.Episode(
        env=vf.EnvInfo(id=env.config.env_id),
        task=vf.TraceTask(type=type(task).__name__, data=task.data, key=task.key, hash=task.hash),
    )
    try:
        agents = vf.Agents(env.config, lambda name, config: _Seat(name, config, task, table, episode.traces))  # type: ignore[arg-type, return-value]
        await env.setup(agents)
        await env.run(task, agents)
        await env.finalize(task, episode)
        table.steps.put_nowait(Step("", float(sum(trace.reward for trace in episode.traces)), "done"))
    except Exception as error:  # the environment's code may raise anything: a bad rollout is data
        table.steps.put_nowait(error)


class _Seat:
    """Stands for the agent of `verifiers`: whatever it is asked is answered by the policy."""

    def __init__(self, name: str, config: Any, task: Any, table: _Table, done: list[Any]) -> None:
        self.name, self.config, self.task, self.table, self.done = name, config, task, table, done
        self.trainable, self.taken = True, False

    async def run(self, task: Any, **_: Any) -> Any:
        async with self.interaction(task) as talk:
            await talk.turn()
        return talk.trace

    @asynccontextmanager
    async def interaction(self, task: Any, **_: Any) -> AsyncIterator[_Talk]:
        if self.taken or task.data.prompt != self.task.data.prompt:
            raise ValueError(
                "the environment has its agent play more than once, or another task than the problem; "
                "Whet can play it once, as the taskset gave it"
            )
        self.taken = True
        talk = _Talk(self.name, self.config, task, self.table)
        await _awaited(task.setup(trace=talk.trace, runtime=None))
        yield talk
        talk.trace.stop("agent_completed")
        await _awaited(task.finalize(trace=talk.trace, runtime=None))
        await task.score(talk.trace)
        talk.trace.ok = True
        self.done.append(talk.trace)


class _Talk:
    """A conversation with the policy, kept as a trace."""

    def __init__(self, name: str, config: Any, task: Any, table: _Table) -> None:
        import verifiers.v1 as vf
        from verifiers.v1.state import state_cls

        self.task, self.table, self.opened = task, table, False
        self.trace: Any = vf.Trace(
            task=vf.TraceTask(type=type(task).__name__, data=task.data, key=task.key, hash=task.hash),
            state=state_cls(type(task))(),
            agent=vf.AgentInfo(config=config, name=name),
        )
        for message in _prompt(task):
            self._add(message)

    async def turn(self, message: Any = None) -> Any:
        """What the policy answers to the prompt (None) or to a message."""
        import verifiers.v1 as vf

        if (message is None) == self.opened:
            raise ValueError("a conversation opens with a bare turn(), and goes on with messages")
        if self.trace.stop_condition is not None:
            return vf.Segment(messages=[], terminated=True)
        said = [{"role": "user", "content": message}] if isinstance(message, str) else _plain(message or [])
        for one in said:
            self._add(one)
        self.table.steps.put_nowait(Step("\n".join(one["content"] for one in said)))
        self.opened = True
        answer = vf.AssistantMessage(content=await self.table.actions.get())
        self._add(answer.model_dump(exclude_none=True), sampled=True)
        await self._stop()
        return vf.Segment(messages=[answer])

    def _add(self, message: Message, sampled: bool = False) -> None:
        import verifiers.v1 as vf

        nodes = self.trace.nodes
        node = {"parent": len(nodes) - 1 if nodes else None, "message": message, "sampled": sampled}
        nodes.append(vf.MessageNode.model_validate(node))

    async def _stop(self) -> None:
        """Ask the task's own conditions whether the conversation is over."""
        from verifiers.v1 import Trace
        from verifiers.v1.utils.decorators import invoke

        for condition in self.task.hooks("stop"):
            if await _awaited(invoke(condition, {"task": self.task.data, "trace": self.trace, Trace: self.trace})):
                self.trace.stop(condition.__name__)


async def _awaited(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


@lru_cache(maxsize=8)
def _load(name: str, settings: str, limit: int) -> tuple[Any, list[Any], list[list[Message]]]:
    """The environment, its tasks and their prompts."""
    try:
        import verifiers.v1 as vf
    except ImportError as error:
        raise ImportError("verifiers 0.4 or later is not installed; run: pip install 'whet[verifiers]'") from error
    try:
        env = vf.load_environment(vf.resolve_env_config({"taskset": {**json.loads(settings), "id": _module(name)}}))
        tasks = list(itertools.islice(env.taskset, limit))
    except Exception as error:  # loading runs the environment's code
        said = f"{type(error).__name__}: {error}"
        raise ValueError(f"verifiers can not load the environment {name!r} with {settings}: {said}") from error
    if len(tasks) < 3:
        raise ValueError(f"the environment {name!r} has {len(tasks)} tasks; 3 are the least that can be split")
    if needed := _more_than_words(env, tasks[0]):
        raise ValueError(
            f"the environment {name!r} needs {needed}, and Whet plays those of words alone; choose another"
        )
    return env, tasks, [_prompt(task) for task in tasks]


@lru_cache(maxsize=8)
def _splits(name: str, settings: str, limit: int, holdout: float) -> dict[str, list[int]]:
    return held_out([json.dumps(prompt) for prompt in _load(name, settings, limit)[2]], ("validation", "test"), holdout)


def _module(name: str) -> str:
    """The name under which `verifiers` imports it; the folder of a file comes into the import path."""
    if not name.endswith(".py"):
        return name
    file = Path(name).expanduser().resolve()
    if not file.is_file():
        raise ValueError(f"there is no file {name}")
    if str(file.parent) not in sys.path:
        sys.path.insert(0, str(file.parent))
    return file.stem


def _more_than_words(env: Any, task: Any) -> str:
    """What an environment needs that a conversation has not; "" if nothing."""
    import verifiers.v1 as vf
    from verifiers.v1.configs.agent import agent_config_fields
    from verifiers.v1.utils.decorators import discover_decorated

    agents = list(agent_config_fields(env.config))
    if len(agents) != 1:
        return f"{len(agents)} agents ({', '.join(agents)})"
    if task.NEEDS_CONTAINER or task.data.image:
        return "a container"
    if task.toolsets(task.config) or env.taskset.toolsets(env.taskset.config):
        return "tools"
    if type(env).start is not vf.Env.start:
        return "services of its own"
    if discover_decorated(task, "intercept"):
        return "to change what is said (intercept)"
    for fn in task.hooks("reward"):
        parameter = inspect.signature(fn).parameters.get("runtime")
        if parameter is not None and parameter.default is parameter.empty:
            return f"a runtime for its reward {fn.__name__!r}"
    return ""


def _prompt(task: Any) -> list[Message]:
    data = task.data
    if data.prompt is None:
        raise ValueError(
            f"the task {data.name or data.idx} has no prompt: its user opens the conversation; choose another"
        )
    said = [{"role": "user", "content": data.prompt}] if isinstance(data.prompt, str) else _plain(data.prompt)
    return [{"role": "system", "content": data.system_prompt}, *said] if data.system_prompt else said


def _plain(messages: Any) -> list[Message]:
    """Messages as roles and texts. ValueError for what is no text."""
    out = []
    for message in messages:
        held = message if isinstance(message, dict) else message.model_dump()
        parts = held["content"]
        if isinstance(parts, list) and all(part.get("type") == "text" for part in parts):
            parts = "\n".join(part["text"] for part in parts)
        if not isinstance(parts, str):
            raise ValueError(f"a message of role {held['role']!r} holds more than text; only text can be played")
        out.append({"role": held["role"], "content": parts})
    return out


EXAMPLES: list[VerifiersEnv] = []  # there is none without an environment of the user's
