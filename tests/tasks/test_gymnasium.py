from __future__ import annotations

import asyncio
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whet.tasks.gymnasium import Gymnasium, Playing
from whet.types import Message, Problem, Step

LAKE = Gymnasium("FrozenLake-v1", {"is_slippery": False, "render_mode": "ansi"}, ("left", "down", "right", "up"))
SAFE = ["down", "down", "right", "right", "down", "right"]  # to the goal of the usual 4 x 4 map


def play(episode: Any, *actions: str) -> list[Step]:
    async def run() -> list[Step]:
        return [await episode.step(action) for action in actions]

    return asyncio.run(run())


def begun(task: Gymnasium, i: int = 0) -> Any:
    return task.episode(task.problem("train", i))


def messages(problem: Problem) -> list[Message]:
    assert isinstance(problem.prompt, list)
    return problem.prompt


def test_a_prompt_says_what_may_be_done_and_shows_the_first_state() -> None:
    (message,) = messages(LAKE.problem("train", 0))
    assert message["role"] == "user"
    assert "0 (left), 1 (down), 2 (right), 3 (up), as in <answer>left</answer>" in message["content"]
    assert message["content"].endswith("[S]FFF\nFHFH\nFFFH\nHFFG")


def test_an_attempt_is_played_to_its_end_with_the_rewards_of_the_environment() -> None:
    steps = play(begun(LAKE), *SAFE)
    assert [step.reward for step in steps] == [0, 0, 0, 0, 0, 1]
    assert [step.end for step in steps] == [""] * 5 + ["done"]
    assert "[F]" in str(steps[0].content) and str(steps[-1].content).endswith("HFF[G]")
    assert play(begun(LAKE), "right", "down")[-1].end == "done"  # a hole


def test_an_environments_own_limit_cuts_off() -> None:
    steps = play(begun(LAKE), *["left"] * 100)
    assert [step.end for step in steps] == [""] * 99 + ["truncated"]


@pytest.mark.parametrize(
    ("reply", "action"),
    [
        ("2", 2),
        ("I go LEFT, then <answer> Down </answer>", 1),
        ("first 0, but no: 3", 3),
        ("left or right? right.", 2),
        ("<answer>7</answer>", None),
        ("down <answer></answer>", None),
        ("nothing", None),
        ("9" * 100_000, None),
        ("-1", None),
    ],
)
def test_an_action_is_read_from_the_reply(reply: str, action: int | None) -> None:
    assert LAKE.understood(reply) == action


@given(st.text(max_size=40))
def test_no_reply_breaks_the_reader(reply: str) -> None:
    assert LAKE.understood(reply) in (None, 0, 1, 2, 3)


def test_a_reply_without_an_action_moves_nothing() -> None:
    steps = play(begun(LAKE), "hm", *SAFE)
    assert str(steps[0].content).startswith("Answer with one action") and steps[0].end == ""
    assert steps[-1] == play(begun(LAKE), *SAFE)[-1]


def test_a_problem_is_pure_and_its_episode_begins_in_its_state() -> None:
    task = Gymnasium("Blackjack-v1")
    problems = [task.problem("train", i) for i in range(8)]
    assert problems == [task.problem("train", i) for i in range(8)]
    assert len({str(problem.prompt) for problem in problems}) > 3
    assert problems[0].info != task.problem("test", 0).info
    first = [play(task.episode(problem), "1")[0] for problem in problems]
    assert first == [play(task.episode(problem), "1")[0] for problem in problems]


def test_a_fork_goes_its_own_way_from_the_same_place() -> None:
    slippery = Gymnasium("FrozenLake-v1")
    game = begun(slippery)
    play(game, "1")
    other = game.fork()
    assert isinstance(other, Playing) and other.taken == game.taken == [1]
    assert play(game, "2", "2")[-1] == play(other, "2", "2")[-1]  # chance goes on alike


def test_an_attempt_can_not_be_played_again() -> None:
    game = begun(LAKE)
    play(game, *SAFE)
    with pytest.raises(RuntimeError, match="is over"):
        play(game, "left")
    with pytest.raises(RuntimeError, match="is over"):
        game.fork()


def test_a_state_may_be_described_by_a_function_and_the_question_be_the_users() -> None:
    task = Gymnasium("CartPole-v1", question="Keep the pole up.", describe=_leaning, system="Be brief.")
    prompt = messages(task.problem("test", 1))
    assert [message["role"] for message in prompt] == ["system", "user"]
    assert prompt[1]["content"].startswith("Keep the pole up.\n\nit leans ")
    assert pickle.loads(pickle.dumps(task)) == task
    step = play(begun(task), "1")[0]
    assert str(step.content).startswith("it leans ") and step.reward == 1


def _leaning(observation: Any) -> str:
    return "it leans " + ("left" if observation[2] < 0 else "right")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"name": "FrozenLak-v1"}, r"can not make 'FrozenLak-v1'.*FrozenLake"),
        ({"name": "Pendulum-v1"}, r"takes actions of Box\(.*only Discrete"),
        ({"config": {"slippery": True}}, "can not make 'FrozenLake-v1' with .*slippery"),
        ({"config": {"map": object()}}, "JSON values only"),
        ({"actions": ("left", "right")}, r"must name 4 actions of 'FrozenLake-v1', got \('left', 'right'\)"),
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Gymnasium(**wrong)


def test_unknown_splits_are_refused() -> None:
    with pytest.raises(ValueError, match="no split 'dev'"):
        LAKE.problem("dev", 0)
