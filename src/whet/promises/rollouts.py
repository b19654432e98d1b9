"""Promises of rollouts: played for real, by a model of one layer."""

from __future__ import annotations

import asyncio
from asyncio import gather
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

import torch

from whet.inventory import model_names
from whet.promises.common import ContractError, hold, label, portable, untouched
from whet.types import Group, Problem, Rollout, Row, Stop, Task, Trajectory, joined, tokens_in

_ROOM = 192  # our choice: tokens of context behind the longest prompt
_LITTLE = 6  # our choice: the same, where an attempt must be cut off
_ALPHABET = "0123456789+-=? "  # few tokens, so that a random model often says EOS
_ARRAYS = ("tokens", "sampled", "trained", "logprobs", "versions")


@dataclass(frozen=True)
class _Sums:
    def size(self, split: str) -> int | None:
        return None

    def problem(self, split: str, i: int) -> Problem:
        return Problem(f"{split}/{i}", f"{i}+{i + 1}=?", str(2 * i + 1), {"columns": {}})


def check_rollout(rollout: Rollout, task: Task | None = None, *, split: str = "train") -> None:
    """Groups with attempts at the problem; rows whose arrays fit one another: log-probs and a version where a token was
    sampled, none elsewhere, and among sampled tokens only those are trained on; turns and tracks that lie inside them.

    The same seed gives the same tokens, whoever else is played; a problem drawn twice gets other attempts, and the
    attempts of a group differ; a prompt that leaves hardly any room is no error; inputs are left alone; it can be
    pickled.

    `task`: whose problems are played; by default the rollout's own `task`, else small sums. It is played by a model of
    one layer with random weights, under every name that the rollout's fields give a model.
    """
    portable(rollout)
    problems = _problems(rollout, task, split)
    names = {"policy", "reference", *(name for _, name in model_names(rollout))}
    roomy, narrow = (_Stage(names, problems, room) for room in (_ROOM, _LITTLE))
    drawn = [problems[0], problems[1], problems[0]]
    with untouched(rollout, drawn, rollout):
        first = roomy.play(rollout, drawn, (1, 2, 3))
    for problem, groups in zip(drawn, first, strict=True):
        _sound(rollout, problem, groups, names)
    tokens = [_tokens(groups) for groups in first]
    again = [_tokens(groups) for groups in roomy.play(rollout, drawn, (1, 2, 3))]
    hold(again == tokens, rollout, "the same seed gives other tokens; draw from stream(seed, ...), and keep nothing")
    alone = [_tokens(roomy.play(rollout, [p], (s,))[0]) for p, s in zip(drawn, (1, 2, 3), strict=True)]
    hold(alone == tokens, rollout, "who else is played changes its tokens; keep nothing between calls")
    if _random(first):
        hold(tokens[0] != tokens[2], rollout, "another seed gives the same tokens; pass stream(seed, ...) to extend")
        differ = any(len({str(t) for t in group}) > 1 for groups in tokens for group in groups)
        several = any(len(group) > 1 for groups in tokens for group in groups)
        sentence = "the attempts of a group are all the same; give each a stream of its own, stream(seed, 'attempt', g)"
        hold(differ or not several, rollout, sentence)
    for problem, groups in zip(drawn, narrow.play(rollout, drawn, (1, 2, 3)), strict=True):
        _sound(rollout, problem, groups, names)


def _problems(rollout: Rollout, task: Task | None, split: str) -> list[Problem]:
    own: Any = getattr(rollout, "task", None)
    source: Task = task or (own if hasattr(own, "problem") else _Sums())
    try:
        return [source.problem(split, i) for i in range(2)]
    except Exception as error:
        raise ContractError(f"{label(source)} gives no two problems of {split!r}: {error}") from error


class _Stage:
    """A model with `room` tokens behind the longest prompt, and who plays on it."""

    def __init__(self, names: set[str], problems: Sequence[Problem], room: int) -> None:
        from whet.models.tiny import TinyQwen  # takes seconds, which an objective need not wait for

        self.names = names
        shape = {"width": 32, "layers": 1, "heads": 2, "kv_heads": 1, "alphabet": _ALPHABET}
        codec = TinyQwen(**shape, context=1).build(0).codec
        longest = max(len(codec.open(problem, 1 << 30).rows[0]) for problem in problems)
        self.lm = TinyQwen(**shape, context=longest + room).build(0)

    def play(self, rollout: Rollout, problems: Sequence[Problem], seeds: Sequence[int]) -> list[list[Group]]:
        from whet.engines.native import Native

        async def everyone() -> list[list[Group]]:
            models = {name: Native(self.lm, name) for name in sorted(self.names)}
            return await gather(*(rollout(models, p, s) for p, s in zip(problems, seeds, strict=True)))

        try:
            return asyncio.run(everyone())
        except Exception as error:
            room = f"in a context of {self.lm.context} tokens, with the models {sorted(self.names)}"
            raise ContractError(f"{label(rollout)} raised {type(error).__name__}: {error} ({room})") from error


def _tokens(groups: list[Group]) -> list[list[list[int]]]:
    return [[joined(trajectory, "tokens").tolist() for trajectory in group.trajectories] for group in groups]


def _random(played: list[list[Group]]) -> bool:
    """Whether anything was drawn at random."""
    rows = [row for groups in played for group in groups for t in group.trajectories for row in t.rows]
    return any(bool(row.sampled.any()) and row.temperature > 0 for row in rows)


def _sound(rollout: Rollout, problem: Problem, groups: Any, names: set[str]) -> None:
    whole = isinstance(groups, list) and len(groups) > 0 and all(isinstance(group, Group) for group in groups)
    hold(whole, rollout, f"it must return a list of groups, at least one, got {groups!r:.60}")
    for group in groups:
        hold(bool(group.name), rollout, "a group has no name")
        hold(len(group.trajectories) > 0, rollout, f"the group {group.name!r} has no attempts")
        for trajectory in group.trajectories:
            attempted = trajectory.problem.id == group.problem.id
            hold(attempted, rollout, f"the group {group.name!r} holds an attempt at another problem")
            _attempt(rollout, trajectory, names)
    hold(any(g.problem.id == problem.id for g in groups), rollout, f"no group is of the drawn problem {problem.id!r}")
    trained = any(bool(row.trained.any()) for g in groups for t in g.trajectories for row in t.rows)
    sampled = any(bool(row.sampled.any()) for g in groups for t in g.trajectories for row in t.rows)
    hold(trained or not sampled, rollout, "no token is trained on, so nothing would be learned")


def _attempt(rollout: Rollout, trajectory: Trajectory, names: set[str]) -> None:
    hold(
        trajectory.stop in get_args(Stop),
        rollout,
        f"an attempt has stop {trajectory.stop!r}, not one of {get_args(Stop)}",
    )
    for row in trajectory.rows:
        _row(rollout, row, names)
    for turn in trajectory.turns:
        inside = 0 <= turn.row < len(trajectory.rows) and 0 <= turn.start <= turn.stop <= len(trajectory.rows[turn.row])
        hold(inside, rollout, f"a turn of role {turn.role!r} ({turn.start}:{turn.stop}) does not lie in row {turn.row}")
    for name, track in trajectory.tracks.items():
        count = tokens_in(trajectory)
        hold(len(track) == count, rollout, f"the track {name!r} has {len(track)} entries for {count} tokens")


def _row(rollout: Rollout, row: Row, names: set[str]) -> None:
    lengths = {name: tuple(getattr(row, name).shape) for name in _ARRAYS}
    hold(set(lengths.values()) == {(len(row),)}, rollout, f"the arrays of a row must have one length, got {lengths}")
    masks = row.sampled.dtype == row.trained.dtype == torch.bool
    hold(masks, rollout, "`sampled` and `trained` must be bool tensors")
    hold(row.model in names, rollout, f"a row is of the model {row.model!r}, which is not among {sorted(names)}")
    on, off = row.sampled, ~row.sampled
    real = bool(row.logprobs.isfinite().all() and (row.logprobs <= 0).all())
    hold(real, rollout, "a log-prob is above 0 or not finite")
    hold(not row.logprobs[off].any(), rollout, "tokens that nobody sampled have a log-prob")
    hold(bool((row.versions[on] >= 0).all()), rollout, "sampled tokens have no version")
    hold(bool((row.versions[off] == -1).all()), rollout, "tokens that nobody sampled have a version")
    sentence = "it trains on tokens that nobody sampled beside sampled ones; what is to be imitated is a row of its own"
    hold(not (on.any() and (row.trained & off).any()), rollout, sentence)
