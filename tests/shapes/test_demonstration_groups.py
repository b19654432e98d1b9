"""What was found with a better prompt is compared among itself, and imitated behind the plain one."""

from __future__ import annotations

from asyncio import gather
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.shapes import Letters, metrics, odd, played, tiny, watched
from torch import Tensor

from whet.advantages.group_mean import GroupMean
from whet.filters.mixed import Mixed
from whet.objectives.clip import Clip
from whet.objectives.likelihood import Likelihood
from whet.objectives.plus import Plus
from whet.randomness import stream
from whet.scoring import Weighted
from whet.stages.learning import Train
from whet.stages.rl import RL
from whet.types import Batch, Decoding, Group, Models, Objective, Outputs, Problem, Row, Scored, Term, Trajectory


@dataclass(frozen=True)
class Staged:
    """Direct: y ~ policy(. | q). If none is `solved`, split: y ~ policy(. | q, `ask`), and demonstration: those of them
    that are right, behind q alone, as texts that nobody sampled."""

    solved: Term
    ask: str = "~"
    group: int = 6
    decoding: Decoding = Decoding(max_tokens=4)

    async def __call__(self, models: Models, problem: Problem, seed: int) -> list[Group]:
        policy, opened = models["policy"], models["policy"].open(problem)

        async def attempts(start: Trajectory, name: str) -> Group:
            seeds = [stream(seed, name, g) for g in range(self.group)]
            return Group(problem, tuple(await gather(*(policy.extend(start, self.decoding, s) for s in seeds))), name)

        groups = [await attempts(opened, "direct")]
        if not torch.as_tensor(self.solved(groups[0])).any():
            groups.append(await attempts(policy.insert(opened, self.ask), "split"))
            right = torch.as_tensor(self.solved(groups[1])).tolist()
            found = [t for t, yes in zip(groups[1].trajectories, right, strict=True) if yes]
            shown = [policy.graft(t, opened) for t in found]
            shown = [replace(t, rows=(*t.rows[:-1], unsampled(t.rows[-1]))) for t in shown]
            groups += [Group(problem, tuple(shown), "demonstration")] if shown else []
        return groups


def unsampled(row: Row) -> Row:
    """The row as a text to imitate."""
    none = torch.zeros_like(row.logprobs)
    return replace(row, sampled=none.bool(), logprobs=none, versions=none.int() - 1)


@dataclass(frozen=True)
class Times:
    """coef * objective."""

    objective: Objective
    coef: float

    def __call__(self, outputs: Outputs, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        loss, told = self.objective(outputs, batch)
        return self.coef * loss, told


def teachable(scored_P: list[Scored]) -> list[Scored]:
    return [s for s in scored_P if s.group.name == "demonstration" or Mixed()([s])]


def only_split(group: Group) -> Tensor:
    return odd(group) if group.name == "split" else torch.zeros(len(group.trajectories))


OBJECTIVE = Plus({"direct": Clip(), "split": Clip(), "demonstration": Times(Likelihood(), 0.1)})


def stage(solved: Any, **more: Any) -> RL:
    train = {"policy": Train(OBJECTIVE)}
    return RL(Letters(), Staged(solved), Weighted({"right": solved}), train, filter=teachable, problems=4, **more)


def test_each_kind_of_group_has_its_own_loss_and_its_own_mean(tmp_path: Path):
    seen: list[tuple[Outputs, Batch]] = []
    one = replace(stage(only_split, steps=1), train={"policy": Train(watched(OBJECTIVE, seen))})
    run, (scored_P,) = played(tmp_path, one)
    (outputs, batch) = seen[0]
    assert set(batch.name) == {"split", "demonstration"}  # direct ones all failed: nothing to compare
    loss, _ = OBJECTIVE(outputs, batch)
    clip, _ = Clip()(outputs, batch)
    rows = torch.tensor([name == "demonstration" for name in batch.name])
    assert torch.equal(loss[rows], -0.1 * torch.where(batch.trained, outputs.logprobs, 0.0)[rows])
    assert torch.equal(loss[~rows], clip[~rows])
    kept = teachable(scored_P)
    together, alone = GroupMean()(kept).advantages, [GroupMean()([s]).advantages[0] for s in kept]
    assert all(torch.equal(a, b) for x, y in zip(together, alone, strict=True) for a, b in zip(x, y, strict=True))
    # A demonstration is the very tokens of a right answer behind the direct prompt.
    ask = run.lms["policy"].codec.tokenizer.encode("~")[0]
    for s in kept:
        if s.group.name == "demonstration":
            start = len(tiny().codec.open(s.group.problem, 96).rows[0])
            split = next(o for o in scored_P if o.group.slot == s.group.slot and o.group.name == "split")
            right = [t for t, r in zip(split.group.trajectories, split.rewards, strict=True) if float(r.sum())]
            assert len(right) == len(s.group.trajectories) > 0
            for t, source in zip(s.group.trajectories, right, strict=True):
                assert t.rows[0].tokens[start:].equal(source.rows[0].tokens[start + 1 :])
                assert ask not in t.rows[0].tokens[:start] and not t.rows[0].sampled.any()


def test_demonstrations_are_no_attempts_in_the_metrics(tmp_path: Path):
    _, (scored_P,) = played(tmp_path, stage(only_split, steps=1))
    attempts = [r for s in scored_P if s.group.name != "demonstration" for r in s.rewards]
    (line,) = metrics(tmp_path)
    assert line["attempts"] == len(attempts) == 2 * 4 * 6
    assert line["reward/mean"] == pytest.approx(float(torch.stack([r.sum() for r in attempts]).mean()))
    assert line["split/ratio"] == pytest.approx(1, abs=1e-5) and line["gap/max"] < 1e-5
    assert line["demonstration/nll"] > 0


def test_no_second_question_where_the_first_was_answered(tmp_path: Path):
    def often(group: Group) -> Tensor:
        return torch.ones(len(group.trajectories)) if group.problem.prompt == "ab?" else only_split(group)

    _, (scored_P,) = played(tmp_path, stage(often, steps=1))
    for s in scored_P:
        names = [o.group.name for o in scored_P if o.group.slot == s.group.slot]
        assert names == (["direct"] if s.group.problem.prompt == "ab?" else ["direct", "split", "demonstration"])
