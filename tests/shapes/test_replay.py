"""Rare right answers are kept, and stand beside fresh ones when their problem comes again."""

from __future__ import annotations

from asyncio import gather
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.examples import attempt, group, row, scored
from helpers.shapes import Letters, go, killed, metrics, odd, played, same, watched

from whet.objectives.clip import Clip
from whet.randomness import stream
from whet.run import Save
from whet.scoring import Weighted
from whet.stages.learning import Train
from whet.stages.rl import RL
from whet.types import Batch, Decoding, Group, Models, Outputs, Problem, Row, Scored, Trajectory, Turn


@dataclass(frozen=True)
class Replay:
    """`group` attempts, of which the last is an old right one of the same problem if there is one. Kept are the newest
    right attempts of problems of which a share in (0, `rare`] of the fresh attempts was right."""

    group: int = 4
    rare: float = 0.25
    decoding: Decoding = Decoding(max_tokens=4)
    state: dict[str, Any] = field(default_factory=lambda: {"kept": {}}, compare=False, repr=False)

    async def __call__(self, models: Models, problem: Problem, seed: int) -> list[Group]:
        policy, opened, old = models["policy"], models["policy"].open(problem), self.state["kept"].get(problem.id)
        seeds = [stream(seed, "attempt", g) for g in range(self.group - bool(old))]
        fresh = await gather(*(policy.extend(opened, self.decoding, s) for s in seeds))
        return [Group(problem, (*fresh, *([unpacked(problem, old)] if old else [])))]

    def observe(self, step: int, scored_P: list[Scored], metrics: Mapping[str, float]) -> None:
        for s in scored_P:
            tried = zip(s.group.trajectories, s.terms["correct"].tolist(), strict=True)
            fresh = [(t, yes) for t, yes in tried if not t.info.get("old")]
            right = [t for t, yes in fresh if yes]
            if 0 < len(right) <= self.rare * len(fresh):
                self.state["kept"][s.group.problem.id] = packed(right[-1])


def packed(t: Trajectory) -> dict[str, Any]:
    """JSON values and tensors, as a state may hold."""
    return {"rows": [dict(vars(r)) for r in t.rows], "turns": [dict(vars(u)) for u in t.turns], "stop": t.stop}


def unpacked(problem: Problem, kept: dict[str, Any]) -> Trajectory:
    rows, turns = (Row(**r) for r in kept["rows"]), (Turn(**u) for u in kept["turns"])
    return Trajectory(problem, tuple(rows), tuple(turns), kept["stop"], info={"old": True})


def stage(**more: Any) -> RL:
    train = {"policy": Train(Clip(), lr=1e-2)}
    reward = Weighted({"correct": odd})
    return RL(Letters(), Replay(), reward, train, problems=6, steps=5, save=Save(every=2), **more)


def test_old_answers_keep_their_versions_and_log_probs(tmp_path: Path):
    seen: list[tuple[Outputs, Batch]] = []
    one = stage()
    _, steps = played(tmp_path, RL(**{**vars(one), "train": {"policy": Train(watched(Clip(), seen), lr=1e-2)}}))
    sampled: dict[tuple[Any, ...], tuple[torch.Tensor, int]] = {}
    ages = []
    for step, scored_P in enumerate(steps):
        for s in scored_P:
            for t in s.group.trajectories:
                mine, key = t.rows[0], (s.group.problem.id, tuple(t.rows[0].tokens.tolist()))
                version = int(mine.versions[mine.sampled][0])
                if t.info.get("old"):
                    ages.append(step - version)
                    assert len(s.group.trajectories) == 4 and t is s.group.trajectories[-1]
                    assert sampled[(*key, version)][0].equal(mine.logprobs)
                    assert float(odd(Group(s.group.problem, (t,)))) == 1
                else:
                    assert version == step
                    sampled[(*key, version)] = (mine.logprobs, step)
    assert ages and min(ages) >= 1 and max(ages) >= 2
    # The ratio is taken against the log-probs of then: it is 1 for fresh rows, and not for old ones.
    apart = [(o.logprobs - b.logprobs)[b.trained].detach().abs().max() for o, b in seen]
    assert float(apart[0]) < 1e-5 and max(map(float, apart[1:])) > 1e-3
    assert metrics(tmp_path)[0]["ratio"] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("ahead", [0, 2])
def test_what_was_kept_survives_a_kill(tmp_path: Path, ahead: int):
    whole = go(tmp_path / "whole", stage(ahead=ahead)).lms["policy"].state_dict()
    broken = killed(tmp_path / "broken", lambda: stage(ahead=ahead), [3, 4]).lms["policy"].state_dict()
    assert same(tmp_path / "whole", tmp_path / "broken")
    assert all(value.equal(broken[name]) for name, value in whole.items())


@pytest.mark.parametrize(("right", "kept"), [(0, False), (1, True), (2, True), (3, False)])
def test_only_rare_right_answers_are_kept(right: int, kept: bool):
    rollout = Replay()
    attempts = [attempt(row([1, 2], [0, 1])) for _ in range(8)]
    rollout.observe(0, [scored(group(*attempts), [1.0] * right + [0.0] * (8 - right))], {})
    assert (rollout.state["kept"].keys() == {"p"}) == kept
