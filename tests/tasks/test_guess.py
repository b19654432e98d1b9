from __future__ import annotations

import asyncio
from typing import Any

import pytest

from whet.tasks.guess import Guess, Guessing
from whet.types import Step


def play(game: Guessing, *actions: str) -> list[Step]:
    async def run() -> list[Step]:
        return [await game.step(action) for action in actions]

    return asyncio.run(run())


def test_higher_lower_and_right():
    assert play(Guessing(7, 5), "<answer>3</answer>", "<answer>9</answer>", "is it 8? no, 7") == [
        Step("higher"),
        Step("lower"),
        Step("right", 1.0, "done"),
    ]


def test_the_last_try_ends_the_game():
    assert play(Guessing(7, 2), "1", "no idea") == [Step("higher"), Step("say a number", 0.0, "truncated")]


def test_a_number_of_a_million_digits_is_no_guess():
    assert play(Guessing(7, 2), "7" * 1_000_000) == [Step("say a number")]


def test_a_game_can_not_be_played_again():
    with pytest.raises(RuntimeError, match="is over"):
        play(Guessing(7, 2), "7", "7")


def test_a_fork_goes_its_own_way():
    game = Guessing(7, 2)
    play(game, "1")
    other = game.fork()
    assert play(game, "2")[0].end == "truncated"
    assert play(other, "7")[0].end == "done"


def test_the_solution_wins_its_game():
    task = Guess(tries=6)
    for i in range(50):
        problem = task.problem("train", i)
        game = task.episode(problem)
        assert isinstance(game, Guessing)
        said = problem.info["solution"]
        steps = play(game, *(m["content"] for m in said if m["role"] == "assistant"))
        assert [s.content for s in steps[:-1]] == [m["content"] for m in said if m["role"] == "env"]
        assert steps[-1] == Step("right", 1.0, "done")


@pytest.mark.parametrize("wrong", [{"width": 0}, {"tries": 0}, {"largest": 0}, {"width": 50, "largest": 20}])
def test_wrong_settings_are_refused(wrong: dict[str, Any]):
    with pytest.raises(ValueError, match=r"Guess\."):
        Guess(**wrong)
