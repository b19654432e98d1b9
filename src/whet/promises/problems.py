"""Promises of tasks, with the episodes that answer their problems, and of curricula."""

from __future__ import annotations

import asyncio
import copy
import math
import pickle
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

import numpy as np
import torch

from whet.describe import fingerprint
from whet.promises.common import ContractError, hold, label, portable, same, untouched
from whet.types import Curriculum, Media, Problem, Step, Task

_FAR = (10_000, 2**40)  # our choice: an endless split is drawn from numbers as large as this
_JUNK: tuple[str, ...] = (
    "",
    "?",
    "1",
    "-1e999",
    "no idea \u00e9\U0001f642 \x00",
    "<answer>" * 50,
)  # our choice: what a model may say
_PLAYED = 5  # our choice: problems of a split whose episodes are played
_LONG = 40  # our choice: actions in a game

# --- tasks


def check_task(task: Task, *, splits: Sequence[str] = ("train", "test"), count: int = 32) -> None:
    """`problem` is pure: asked again, in another order, of a copy, and whatever the global generators are at, it gives
    the same, and it leaves those alone; `size` is a number or None, and behind the end there is nothing; an id names
    one problem; a prompt is text, messages or texts and `Media`; no question is in two splits; it can be pickled.

    Where it has `episode(problem)`, prompts may be alike: what is asked may show in the game alone. Each is a game of
    its own, which answers the same to the same actions and raises at nothing a model may say; after the end it takes no
    further action; a fork goes its own way.

    `count`: how many problems of each split are looked at.
    """
    portable(task)
    twin: Task = pickle.loads(pickle.dumps(task))
    questions: dict[str, tuple[str, str]] = {}
    known: dict[str, Problem] = {}
    for split in splits:
        size = _size(task, split)
        hold(bool(size is None or size or split != splits[0]), task, f"the split {split!r} has no problems")
        places = [*range(count), *_FAR] if size is None else list(range(min(size, count)))
        with _globals_left_alone(task):
            problems = [_ask(task, split, i) for i in places]
        _elsewhere()
        again = [_ask(task, split, i) for i in reversed(places)][::-1]
        copied = [_ask(twin, split, i) for i in places]
        hold(
            same(problems, again), task, f"asked again for problems of {split!r}, it gives others; use drawn or stream"
        )
        hold(same(problems, copied), task, f"a copy of it gives other problems for {split!r}")
        if size is not None:
            _ends(task, split, size)
        for problem in problems:
            _prompt(task, problem)
            first = known.setdefault(problem.id, problem)
            hold(same(first, problem), task, f"the id {problem.id!r} stands for two problems; groups form by id")
            if hasattr(task, "episode"):
                continue
            home, there = questions.setdefault(fingerprint(problem.prompt), (split, problem.id))
            sentence = (
                f"{problem.id!r} of {split!r} asks what {there!r} of {home!r} asks; hold out by question, see drawn"
            )
            hold(home == split, task, sentence)
        if hasattr(task, "episode"):
            for problem in problems[:_PLAYED]:
                asyncio.run(_episodes(task, problem))


def _size(task: Task, split: str) -> int | None:
    try:
        size = task.size(split)
    except Exception as error:
        raise ContractError(f"{label(task)}: size({split!r}) raised {type(error).__name__}: {error}") from error
    sound = size is None or (isinstance(size, int) and size >= 0)
    hold(sound, task, f"size({split!r}) must be a number of problems, or None for an endless split, got {size!r}")
    return size


def _ask(task: Task, split: str, i: int) -> Problem:
    try:
        problem = task.problem(split, i)
    except Exception as error:
        raise ContractError(f"{label(task)}: problem({split!r}, {i}) raised {type(error).__name__}: {error}") from error
    hold(isinstance(problem, Problem), task, f"problem({split!r}, {i}) gave {type(problem).__name__}, not a Problem")
    return problem


def _ends(task: Task, split: str, size: int) -> None:
    try:
        task.problem(split, size)
    except (ValueError, IndexError):
        return
    hold(False, task, f"{split!r} has {size} problems, and yet there is a problem {size}; raise a ValueError")


def _prompt(task: Task, problem: Problem) -> None:
    hold(isinstance(problem.id, str) and bool(problem.id), task, f"an id is a text, got {problem.id!r}")
    where, prompt = f"the prompt of {problem.id!r}", problem.prompt
    if isinstance(prompt, str):
        return
    hold(isinstance(prompt, Sequence) and len(prompt) > 0, task, f"{where} must be text, messages, or texts and Media")
    if isinstance(prompt[0], dict):
        sound = all(isinstance(m, dict) and isinstance(m.get("role"), str) and "content" in m for m in prompt)
        hold(sound, task, f'{where}: a message is {{"role": ..., "content": ...}}, got {prompt!r:.80}')
    else:
        hold(all(isinstance(p, (str, Media)) for p in prompt), task, f"{where} has parts that are no text and no Media")


@contextmanager
def _globals_left_alone(task: Task) -> Iterator[None]:
    before = _generators()
    yield
    after = _generators()
    hold(same(before, after), task, "it draws from a global random generator; use whet.randomness.generator(seed, ...)")


def _generators() -> list[Any]:
    name, keys, *rest = np.random.get_state()
    return [random.getstate(), name, torch.from_numpy(np.array(keys, np.int64)), rest, torch.get_rng_state()]


def _elsewhere() -> None:
    """Another place in the global generators, as in another run."""
    random.random()
    np.random.random()
    torch.rand(())


# --- episodes


async def _episodes(task: Any, problem: Problem) -> None:
    before = copy.deepcopy(problem)
    try:
        games = [task.episode(problem) for _ in range(2)]
    except ValueError:  # a mixture may have problems that nobody plays
        return
    where = f"the episode of {problem.id!r}"
    hold(games[0] is not games[1], task, f"{where} is one and the same twice; every attempt needs a game of its own")
    for script in _scripts(problem):
        await _one_script(task, problem, script, where)
    hold(same(before, problem), task, f"{where} changes the problem")


def _scripts(problem: Problem) -> list[list[str]]:
    """What is said: nonsense, and the worked solution where there is one."""
    solution = problem.info.get("solution") or str(problem.answer)
    said = [solution] if isinstance(solution, str) else [m["content"] for m in solution if m["role"] == "assistant"]
    return [[*_JUNK * _LONG][:_LONG], [*said, *_JUNK]]


async def _one_script(task: Any, problem: Problem, script: list[str], where: str) -> None:
    first, second = task.episode(problem), task.episode(problem)
    told: list[list[Step]] = [[], []]
    for action in script:  # in turns: one game must not hear of the other
        for game, steps in ((first, told[0]), (second, told[1])):
            if not (steps and steps[-1].end):
                steps.append(await _step(task, game, action, where))
    pairs = zip_longest(*told)
    hold(all(same(a, b) for a, b in pairs), task, f"{where}, played twice with the same actions, answers otherwise")
    if told[0] and told[0][-1].end:
        await _is_over(task, first, where)
    await _fork(task, task.episode(problem), script, told[0], where)


async def _step(task: Any, game: Any, action: str, where: str) -> Step:
    try:
        step = await game.step(action)
    except Exception as error:
        sentence = (
            f"{where} raised {type(error).__name__}: {error} at {action!r:.60}; a model may say anything: answer it"
        )
        raise ContractError(f"{label(task)}: {sentence}") from error
    hold(isinstance(step, Step), task, f"{where}: step must return a Step, got {type(step).__name__}")
    hold(math.isfinite(step.reward), task, f"{where} gave the reward {step.reward}")
    ends = ("", "done", "truncated")
    hold(step.end in ends, task, f"{where} ended in {step.end!r}; Step.end is one of {ends}")
    return step


async def _is_over(task: Any, game: Any, where: str) -> None:
    try:
        await game.step("1")
    except Exception:
        return
    hold(False, task, f"{where} goes on after its end; raise a RuntimeError")


async def _fork(task: Any, game: Any, script: list[str], told: list[Step], where: str) -> None:
    """After the first answer a fork is played to its end; the game must go on as if there were none, and so must a fork
    that is made first."""
    if len(told) < 2:
        return
    await game.step(script[0])
    try:
        fork, other = game.fork(), game.fork()
    except NotImplementedError:
        return
    for one in (other, game, fork):
        sentence = f"{where}: a fork and its game change each other; copy what they hold"
        try:
            rest = [await one.step(action) for action in script[1 : len(told)]]
        except Exception as error:
            raise ContractError(f"{label(task)}: {sentence} ({type(error).__name__}: {error})") from error
        hold(same(rest, told[1:]), task, sentence)


# --- curricula


@dataclass(frozen=True)
class _Numbers:
    """Ten problems, or those of two `sources`."""

    sources: Mapping[str, _Numbers] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)

    def problem(self, split: str, i: int) -> Problem:
        name = sorted(self.sources)[i // 10] if self.sources else ""
        return Problem(f"{name}{split}-{i}", f"say {i}", str(i), {"source": name} if name else {})

    def size(self, split: str) -> int | None:
        return 10 * max(len(self.sources), 1)


def check_curriculum(curriculum: Curriculum) -> None:
    """As many problems as asked for; the same seed gives the same ones, another seed others; drawing leaves `state`
    alone, and so does `told`, where there is one, which gives numbers; it can be pickled. The task that it draws from
    has two sources, "a" and "b"."""
    portable(curriculum)
    task = _Numbers({"a": _Numbers(), "b": _Numbers()})
    with untouched(curriculum, getattr(curriculum, "state", {})):
        draws = [[p.id for p in curriculum.draw(task, 6, seed)] for seed in (1, 1, 2, 3)]
        said = curriculum.told(task) if hasattr(curriculum, "told") else {}  # type: ignore[attr-defined]
    counts = {len(draw) for draw in draws} | {len(curriculum.draw(task, 25, 1))}
    hold(counts == {6, 25}, curriculum, f"asked for 6 and for 25 problems it gave {sorted(counts)}")
    hold(draws[0] == draws[1], curriculum, "the same seed gives other problems")
    hold(draws[0] != draws[2] or draws[0] != draws[3], curriculum, "every seed gives the same problems")
    bad = {name: value for name, value in said.items() if not math.isfinite(value)}
    hold(not bad, curriculum, f"what it told for the log are no finite numbers: {bad}")
