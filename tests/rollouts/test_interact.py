from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.helpers.model_small import shaken
from whet.engines.native import Native
from whet.models.tiny import TinyQwen
from whet.rollouts.interact import Interact
from whet.tasks.chain_sum import ChainSum
from whet.types import Decoding, Group, Trajectory

SHORT = Decoding(max_tokens=60, stop_tokens=tuple(range(20, 60)))  # ends soon by a stop token
TASK = ChainSum()


@pytest.fixture(scope="module")
def engine() -> Native:
    return Native(shaken(TinyQwen(width=32, layers=1, heads=2, kv_heads=1, context=200)))


@dataclass(frozen=True)
class Scripted:
    """Tools that say one thing after another, to everyone."""

    script: tuple[Any, ...]
    seen: list[str] = field(default_factory=list, compare=False)

    def session(self) -> Callable[[str], Awaitable[str | None]]:
        script = list(self.script)

        async def answer(said: str) -> str | None:
            self.seen.append(said)
            await asyncio.sleep(0.01)
            one = script.pop(0)
            if isinstance(one, Exception):
                raise one
            return one

        return answer


def play(engine: Native, tools: Any, group: int = 1, **settings: Any) -> Group:
    rollout = Interact(tools, group=group, decoding=settings.pop("decoding", SHORT), **settings)
    (made,) = asyncio.run(rollout({"policy": engine}, TASK.problem("train", 0), 5))
    return made


def roles(trajectory: Trajectory) -> list[str]:
    return [turn.role for turn in trajectory.turns]


def test_calls_and_results_take_turns_until_nothing_is_called(engine: Native) -> None:
    tools = Scripted(("one", "two", None))
    (attempt,) = play(engine, tools).trajectories
    assert roles(attempt) == ["prompt", "policy", "tool", "policy", "tool", "policy"] and attempt.stop == "eos"
    assert [t.text for t in attempt.turns if t.role == "tool"] == ["one", "two"]
    assert [t.text for t in attempt.turns if t.role == "policy"] == tools.seen


@pytest.mark.parametrize(("role", "spoken"), [("tool", "tool"), ("user", "user"), (None, "env")])
def test_no_token_of_a_result_was_sampled_or_is_learned_from(engine: Native, role: str | None, spoken: str) -> None:
    (attempt,) = play(engine, Scripted(("17", None)), role=role).trajectories
    (row,) = attempt.rows
    for turn in attempt.turns:
        inside = slice(turn.start, turn.stop)
        ours = turn.role == "policy"
        assert row.sampled[inside].all().item() == ours == row.trained[inside].all().item()
        assert ours or not (row.sampled[inside].any() or row.trained[inside].any() or row.logprobs[inside].any())
    assert roles(attempt)[2] == spoken


def test_an_attempt_has_a_limit_of_turns(engine: Native) -> None:
    (attempt,) = play(engine, Scripted(("x",) * 9), turns=3).trajectories
    assert roles(attempt).count("policy") == 3 and roles(attempt)[-1] == "policy"
    assert attempt.stop == "length" and attempt.info["end"] == "turns"


def test_an_action_that_was_cut_off_calls_nothing(engine: Native) -> None:
    tools = Scripted(("x",))
    (attempt,) = play(engine, tools, decoding=Decoding(max_tokens=1)).trajectories
    assert attempt.stop == "length" and tools.seen == []


def test_a_failure_of_the_tools_ends_the_attempt_as_an_error(engine: Native) -> None:
    (attempt,) = play(engine, Scripted(("x", OSError("no sandbox")))).trajectories
    assert attempt.stop == "error" and attempt.info["error"] == "OSError: no sandbox"


def test_every_attempt_has_a_session_of_its_own_and_what_it_has_alone(engine: Native) -> None:
    group = play(engine, Scripted(("one", None)), group=4)
    assert all(roles(t) == ["prompt", "policy", "tool", "policy"] for t in group.trajectories)
    again = play(engine, Scripted(("one", None)), group=2)
    for a, b in zip(group.trajectories, again.trajectories, strict=False):
        assert a.rows[0].tokens.equal(b.rows[0].tokens)


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="must have a session"):
        Interact(TASK)  # type: ignore[arg-type]
    for wrong in ({"group": 0}, {"turns": 0}):
        with pytest.raises(ValueError, match=r"Interact\."):
            Interact(Scripted(()), **wrong)  # type: ignore[arg-type]
