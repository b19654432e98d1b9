from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from whet.tasks.verifiers_env import Attempt, VerifiersEnv
from whet.types import Step

HEAD = """
import asyncio
import verifiers.v1 as vf


class Data(vf.TaskData):
    answer: str


class Task(vf.Task[Data, vf.State, vf.TaskConfig]):
    @vf.reward
    async def right(self, trace) -> float:
        return float(self.data.answer in trace.last_reply)

    @vf.reward(weight=0.5)
    async def short(self, trace) -> float:
        return float(len(trace.last_reply) < 4)


class Config(vf.TasksetConfig):
    count: int = 12


class Tasks(vf.Taskset[Task, Config]):
    def load(self):
        for i in range(self.config.count):
            yield Task(Data(prompt=f"Say {i}.", answer=str(i), system_prompt="Be brief."), self.config.task)


__all__ = ["Tasks"]
"""

GAME = """

class Playing(vf.EnvConfig):
    player: vf.AgentConfig = vf.AgentConfig()


class Game(vf.Env[Playing]):
    async def run(self, task, agents):
        async with agents.player.interaction(task) as talk:
            segment, left = await talk.turn(), 2
            while segment.last_reply != task.data.answer and left and not segment.terminated:
                await asyncio.sleep(0)
                segment, left = await talk.turn(f"no, {left} left"), left - 1
        talk.trace.record_reward("left", left, 0.25)


__all__ = ["Tasks", "Game"]
"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A folder for environments, which leaves nothing in this process."""
    path, modules = list(sys.path), set(sys.modules)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def written(home: Path, name: str, text: str) -> str:
    file = home / f"{name}.py"
    file.write_text(text)
    return str(file)


def play(attempt: Any, *actions: str) -> list[Step]:
    async def run() -> list[Step]:
        return [await attempt.step(action) for action in actions]

    return asyncio.run(run())


def test_the_tasks_are_problems_with_splits_that_share_none(home: Path) -> None:
    task = VerifiersEnv(written(home, "whet_said", HEAD), {"count": 40})
    prompts = {s: {str(task.problem(s, i).prompt) for i in range(task.size(s) or 0)} for s in ("train", "test")}
    assert not prompts["train"] & prompts["test"] and prompts["test"]
    assert sum(task.size(split) or 0 for split in ("train", "validation", "test")) == 40
    problem = task.problem("train", 0)
    assert problem == task.problem("train", 0)
    assert problem.prompt == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": f"Say {problem.answer}."},
    ]


def test_a_task_alone_is_answered_once_and_judged_by_its_weighted_rewards(home: Path) -> None:
    task = VerifiersEnv(written(home, "whet_once", HEAD))
    problem = task.problem("train", 1)
    for answer, reward in ((problem.answer, 1.5), (f"I say {problem.answer}", 1.0), ("", 0.5), ("not that", 0.0)):
        assert play(task.episode(problem), answer) == [Step("", reward, "done")]


def test_a_game_is_played_turn_by_turn(home: Path) -> None:
    task = VerifiersEnv(written(home, "whet_game", HEAD + GAME))
    problem = task.problem("train", 0)
    assert play(task.episode(problem), "no idea", problem.answer) == [Step("no, 2 left"), Step("", 1.75, "done")]
    assert play(task.episode(problem), "a", "b", "c")[-1] == Step("", 0.5, "done")


def test_attempts_do_not_know_one_another_and_forks_go_on_from_their_place(home: Path) -> None:
    task = VerifiersEnv(written(home, "whet_forks", HEAD + GAME))
    problem = task.problem("train", 0)

    async def both() -> list[Step]:
        one, two = task.episode(problem), task.episode(problem)
        said = [await one.step("a"), await two.step("b"), await one.step("c")]
        forked = one.fork()
        return [*said, await one.step("d"), await forked.step(problem.answer), await two.step(problem.answer)]

    *_, lost, won, other = asyncio.run(both())
    assert (lost.reward, won.reward, other.reward) == (0.5, 1.5, 1.75)


def test_a_stop_of_the_tasks_own_ends_the_conversation(home: Path) -> None:
    stop = "    @vf.stop\n    async def enough(self, trace: vf.Trace) -> bool:\n        return trace.num_turns > 1\n\n"
    text = (HEAD + GAME).replace("    @vf.reward\n", stop + "    @vf.reward\n", 1)
    task = VerifiersEnv(written(home, "whet_stops", text))
    steps = play(task.episode(task.problem("train", 0)), "a", "b")
    assert [step.end for step in steps] == ["", "done"]


def test_an_attempt_that_is_left_leaves_nothing_running(home: Path) -> None:
    task = VerifiersEnv(written(home, "whet_left", HEAD + GAME))

    async def leave() -> int:
        attempt = task.episode(task.problem("train", 0))
        await attempt.step("a")
        assert len(asyncio.all_tasks()) == 2
        del attempt
        gc.collect()
        await asyncio.sleep(0.01)
        return len(asyncio.all_tasks())

    assert asyncio.run(leave()) == 1


def test_what_breaks_in_an_environment_is_raised_by_its_step(home: Path) -> None:
    broken = HEAD.replace("return float(self.data.answer in trace.last_reply)", "return 1 / 0")
    task = VerifiersEnv(written(home, "whet_broken", broken))
    with pytest.raises(Exception, match="division by zero"):
        play(task.episode(task.problem("train", 0)), "x")
    slow = HEAD.replace("return float(self", "await asyncio.sleep(60)\n        return float(self")
    task = VerifiersEnv(written(home, "whet_slow", slow), deadline=0.1)
    attempt = task.episode(task.problem("train", 0))
    with pytest.raises(TimeoutError, match=r"did not answer within 0.1 s"):
        play(attempt, "x")
    assert isinstance(attempt, Attempt) and attempt.over


def test_a_game_that_is_over_can_not_go_on(home: Path) -> None:
    task = VerifiersEnv(written(home, "whet_over", HEAD))
    attempt = task.episode(task.problem("train", 0))
    play(attempt, "x")
    with pytest.raises(RuntimeError, match="is over"):
        play(attempt, "y")


AGENTS = """
class Two(vf.EnvConfig):
    one: vf.AgentConfig = vf.AgentConfig()
    other: vf.AgentConfig = vf.AgentConfig()


class Pair(vf.Env[Two]):
    async def run(self, task, agents):
        await agents.one.run(task)


__all__ = ["Tasks", "Pair"]
"""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEAD + AGENTS, r"needs 2 agents \(one, other\), and Whet plays those of words alone"),
        (HEAD.replace("    @vf.reward\n", "    NEEDS_CONTAINER = True\n\n    @vf.reward\n", 1), "needs a container"),
        (HEAD.replace("right(self, trace)", "right(self, trace, runtime)"), "a runtime for its reward 'right'"),
        (HEAD.replace('prompt=f"Say {i}.", ', ""), "has no prompt: its user opens"),
        (HEAD.replace("count: int = 12", "count: int = 2"), "has 2 tasks; 3 are the least"),
        (HEAD.replace('__all__ = ["Tasks"]', ""), "defines no `__all__`"),
        ("import verifiers as vf\nvf.Rubric", "can not load the environment .*no attribute 'Rubric'"),
        ("def f(:", "can not load the environment .*SyntaxError"),
    ],
)
def test_what_needs_more_than_words_or_can_not_be_loaded_is_refused(home: Path, text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        VerifiersEnv(written(home, f"whet_wrong{abs(hash(said))}", text))


def test_unknown_names_and_settings_are_refused(home: Path) -> None:
    with pytest.raises(ValueError, match=r"can not load the environment .whet-no-such-env.*not found"):
        VerifiersEnv("whet-no-such-env")
    with pytest.raises(ValueError, match="there is no file"):
        VerifiersEnv(str(home / "absent.py"))
    file = written(home, "whet_settings", HEAD)
    wrongs: list[dict[str, Any]] = [{"config": {"cout": 3}}, {"config": {"a": object()}}]
    for wrong in [*wrongs, {"holdout": 0.5}, {"limit": 2}, {"deadline": 0}]:
        with pytest.raises(ValueError):
            VerifiersEnv(file, **wrong)
    with pytest.raises(ValueError, match="no split 'dev'"):
        VerifiersEnv(file).size("dev")
