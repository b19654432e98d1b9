"""A person in the place of the policy, through the command itself."""

from __future__ import annotations

import asyncio
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from whet.cli import app
from whet.playing import Ended, Human, game
from whet.tasks.chain_sum import ChainSum
from whet.tasks.guess import Guess
from whet.types import Problem, Trajectory

WHET = [sys.executable, "-c", "from whet.cli import main; main()"]


class Says:
    """A person who has made up their mind."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.heard: list[str] = []

    def ask(self, trajectory: Trajectory) -> str:
        self.heard.append(trajectory.turns[-1].text)
        if not self.answers:
            raise Ended
        return self.answers.pop(0)


def played(typed: str, *words: str) -> str:
    result = CliRunner().invoke(app, ["play", *words], input=typed)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


def refused(*words: str) -> str:
    result = CliRunner().invoke(app, ["play", *words], input="")
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.stderr
    return result.stderr


def gold(i: int) -> str:
    return str(ChainSum().problem("test", i).answer)


# ------------------------------------------------------------------------------------------------- the human policy


@pytest.mark.parametrize("text", ["7", "<think>3+4=7</think>\n<answer>7</answer>", "π ≈ 3, ねこ 🐈", "<|im_end|> x"])
def test_what_a_person_says_is_bytes_that_they_chose(text: str) -> None:
    human = Human(Says(text))
    opened = human.open(Problem("p", "3+4=?", "7"))
    said = asyncio.run(human.extend(opened, decoding=None, seed=0))  # type: ignore[arg-type]
    row = said.rows[-1]
    assert said.turns[-1].text == text and said.stop == "eos"
    assert (
        row.sampled.tolist()
        == row.trained.tolist()
        == [False] * len(opened.rows[0]) + [True] * (len(row) - len(opened.rows[0]))
    )
    if "<|" not in text:
        assert human.codec.text(row.tokens[said.turns[-1].start :]) == text


def test_a_right_and_a_wrong_answer_get_what_a_model_would_get() -> None:
    what = game("chain-sum")
    problem = what.problems(0, 1)[0]
    for answer, reward in ((problem.answer, 1.0), (f"<answer>{problem.answer}</answer>", 1.0), ("-5", 0.0)):
        (scored,) = asyncio.run(what.attempt(Human(Says(str(answer))), problem))
        assert float(scored.terms["correct"][0]) == reward
        assert scored.outcomes["correct"] == ("right" if reward else "wrong",)


def test_an_episode_answers_each_turn() -> None:
    what = game("guess")
    problem = what.problems(0, 1)[0]
    hidden = int(str(problem.answer))
    person = Says(str(hidden + 1), str(hidden - 1), str(hidden))
    (scored,) = asyncio.run(what.attempt(Human(person), problem))
    assert person.heard[1:] == ["lower", "higher"]
    assert scored.group.trajectories[0].stop == "env"
    assert float(scored.rewards[0].sum()) == 1.0


def test_a_recipe_is_played_with_its_own_reward() -> None:
    what = game("quickstart")
    problem = what.problems(0, 1)[0]
    (bare,) = asyncio.run(what.attempt(Human(Says(str(problem.answer))), problem))
    (tagged,) = asyncio.run(what.attempt(Human(Says(f"<answer>{problem.answer}</answer>")), problem))
    assert bare.outcomes["correct"] == ("unparseable",)  # the recipe's reward wants the tag
    assert tagged.outcomes["correct"] == ("right",)
    assert len(tagged.group.trajectories) == 1


# ------------------------------------------------------------------------------------------------------ the command


def test_answers_may_come_from_a_pipe() -> None:
    done = subprocess.run(
        [*WHET, "play", "chain-sum", "--problems", "2"],
        input=f"{gold(0)}\n\nI do not know\n-1\n\n",
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert "reward 1\n  correct: 1 (right)" in done.stdout
    assert "reward 0\n  correct: 0 (wrong)" in done.stdout
    assert re.search(r"mean\W+0\.5\W+2 attempts", done.stdout)


def test_a_game_of_many_turns_is_played_in_the_terminal() -> None:
    """On a terminal of its own: prompts, episodes, Ctrl-D behind an answer and Ctrl-C at the end."""
    hidden = int(str(Guess().problem("test", 0).answer))
    pid, terminal = pty.fork()
    if not pid:
        os.environ["TERM"] = "dumb"
        os.execv(sys.executable, [*WHET, "play", "guess"])
    seen = ""

    def until(text: str, press: bytes = b"") -> None:
        """Wait for a text; `press` every other second until it comes, as one does whose Ctrl-C came too early."""
        nonlocal seen
        pressed, deadline = 0.0, time.monotonic() + 100
        while text not in seen:
            assert time.monotonic() < deadline, (text, seen)
            if press and time.monotonic() > pressed + 2:
                pressed = time.monotonic()
                os.write(terminal, press)
            if select.select([terminal], [], [], 0.2)[0]:
                seen += os.read(terminal, 4096).decode(errors="replace")
        seen = seen.partition(text)[2]

    try:
        until("Guess my number")
        until("> ")
        os.write(terminal, f"{hidden + 1}\n\n".encode())
        until("lower")
        until("> ")
        os.write(terminal, f"{hidden}\n\x04".encode())  # Ctrl-D ends an answer as well
        until("reward 1")
        until("problem 2 of 5")
        until("> ")
        until("mean", press=b"\x03")
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        raise
    finally:
        os.close(terminal)


def test_commands_within_the_game() -> None:
    shown = played(f"/help\n/answer\n{gold(0)}\n\n/skip\n{gold(2)}\n\n/quit\n", "chain-sum")
    assert shown.count("/skip leaves a problem") == 2
    assert f"answer:   {gold(0)}" in shown and "(peeked)" in shown
    assert "chain_sum/test/1 │" not in shown
    assert re.search(r"mean\W+1\W+2 attempts", shown)


def test_nothing_answered_is_said_so() -> None:
    assert "nothing was answered" in played("", "chain-sum")


def test_the_answer_is_shown_on_request() -> None:
    assert f"answer:   {gold(3)}" not in played("0\n\n", "chain-sum", "--start", "3", "--problems", "1")
    assert f"answer:   {gold(3)}" in played("0\n\n", "chain-sum", "--start", "3", "--problems", "1", "--show-answer")


def test_settings_and_reward_are_taken() -> None:
    typed = "<think>?</think><answer>1</answer>\n\n1\n\n"
    shown = played(
        typed, "chain-sum", "--set", "terms=2", "--set", "largest=3", "--reward", "format", "--problems", "2"
    )
    sums = [re.fullmatch(r"([0-3])[+-]([0-3])=\?", line) for line in shown.splitlines()]
    assert sum(bool(found) for found in sums) == 2
    assert re.findall(r"correct: (\d)", shown) == ["1", "0"]


def test_a_file_of_problems_is_played(tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text("".join(f'{{"question": "{i} and {i}?\\u001b[2J", "answer": "{2 * i}"}}\n' for i in range(1, 5)))
    shown = played("2\n\n", str(file), "--problems", "1", "--reward", "numeric")
    assert "1 and 1?" in shown and "correct: 1 (right)" in shown
    assert "\x1b[2J" not in shown


BROKEN = """
from dataclasses import dataclass, replace
from whet.recipes.quickstart import grpo, base, task
from whet.recipe import Recipe
from whet.rollouts.converse import Converse
from whet.scoring import Weighted
from whet.rewards.verified import exact
from whet.types import Problem


@dataclass(frozen=True)
class Falls:
    def size(self, split):
        return 3

    def problem(self, split, i):
        return Problem(f"falls/{i}", "Say something.")

    def episode(self, problem):
        return self

    async def step(self, action):
        raise RuntimeError("the floor gave way")


recipe = Recipe(base, arms={"falls": [replace(grpo, task=Falls(), rollout=Converse(Falls()))]})
"""


def test_a_task_that_fails_is_said_so_and_the_game_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "broken.py"
    file.write_text(BROKEN)
    shown = played("hello\n\nagain\n\nand again\n\n", str(file))
    assert shown.count("the task's own code failed: RuntimeError: the floor gave way") == 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["chain-sums"], "did you mean chain-sum"),
        (["gues"], "did you mean guess"),
        (["quickstrat"], "did you mean quickstart"),
        (["chain-sum", "--reward", "exat"], "did you mean exact"),
        (["chain-sum", "--set", "terns=3"], "terms"),
        (["chain-sum", "--arm", "grpo"], "--arm"),
        (["quickstart", "--arm", "ppo"], "choose one with --arm: grpo"),
        (["gym:"], "gym"),
        (["./nothing.jsonl"], "nothing.jsonl"),
    ],
)
def test_what_can_not_be_played_is_a_clear_error(words: list[str], said: str) -> None:
    assert said in refused(*words)


def test_a_place_beyond_the_end_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text('{"question": "1", "answer": "1"}\n{"question": "2", "answer": "2"}\n')
    assert "none from place 7 on" in refused(str(file), "--start", "7")
