"""Scored groups -> batch -> mini-batches -> micro-batches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from whet.randomness import generator
from whet.types import Batch, Credit, Row, Scored, Trajectory


@dataclass
class _Line:
    """One row on its way into a batch, with what speaks of its tokens."""

    row: Row
    advantages: Tensor
    targets: Tensor | None
    tracks: dict[str, Tensor]
    terms: dict[str, float]
    trajectory: int
    group: int
    name: str


def collate(kept_P: Sequence[Scored], credit: Credit) -> Batch:
    """The rows of all attempts that have something to learn, right-padded, each with its attempt's value of every
    reward term. Weights are 0 until a weighting speaks.

    Raises ValueError where a row was sampled greedily or from a truncated distribution whose kept mass was not stored:
    its log-probs are not those of the distribution that sampled it.
    """
    lines: list[_Line] = []
    trajectory_number = 0
    for group_number, scored in enumerate(kept_P):
        terms_G = {name: values_G.tolist() for name, values_G in scored.terms.items()}
        for g, trajectory in enumerate(scored.group.trajectories):
            lengths = [len(row) for row in trajectory.rows]
            advantages = credit.advantages[group_number][g].split(lengths)
            targets = credit.targets[group_number][g].split(lengths) if credit.targets is not None else None
            start = 0
            for i, row in enumerate(trajectory.rows):
                here = slice(start, start + len(row))
                start += len(row)
                if not row.trained.any():
                    continue
                _trainable(row, trajectory)
                lines.append(
                    _Line(
                        row,
                        advantages[i],
                        targets[i] if targets is not None else None,
                        {name: track[here] for name, track in trajectory.tracks.items()},
                        {name: values[g] for name, values in terms_G.items()},
                        trajectory_number,
                        group_number,
                        scored.group.name,
                    )
                )
            trajectory_number += 1
    return _stack(lines)


def supervised(trajectories: Sequence[Trajectory], name: str = "demonstration") -> Batch:
    """A batch to imitate: every trained token has advantage 1."""
    lines = [
        _Line(row, row.trained.float(), None, {}, {}, i, i, name)
        for i, trajectory in enumerate(trajectories)
        for row in trajectory.rows
        if row.trained.any()
    ]
    return _stack(lines)


def _trainable(row: Row, trajectory: Trajectory) -> None:
    truncated = row.truncated and "log_kept" not in trajectory.tracks
    if not (row.temperature == 0 or truncated) or not (row.sampled & row.trained).any():
        return
    if row.temperature == 0:
        raise ValueError(
            f"problem {trajectory.problem.id!r}: greedy tokens can not be trained on as samples; "
            "sample with Decoding(temperature=1.0), or mark the row as not trained"
        )
    if truncated:
        raise ValueError(
            f"problem {trajectory.problem.id!r} was sampled with top-k, top-p, min-p or a processor, and the kept mass "
            'was not stored as track "log_kept"; sample from the full distribution, or use an engine that stores it'
        )


def _stack(lines: list[_Line]) -> Batch:
    lengths = torch.tensor([len(line.row) for line in lines], dtype=torch.long)
    longest = max((len(line.row) for line in lines), default=0)
    valid = torch.arange(longest) < lengths[:, None]

    def pad(values: Sequence[Tensor]) -> Tensor:
        if not values:
            return torch.zeros(0, 0)
        flat = torch.cat(list(values))
        padded = flat.new_zeros(*valid.shape, *flat.shape[1:])
        padded[valid] = flat
        return padded

    names = sorted({name for line in lines for name in line.tracks})
    for name in names:
        for line in lines:
            if name not in line.tracks:
                line.tracks[name] = _neutral(name, line, next(other for other in lines if name in other.tracks))
    tracks = {name: pad([line.tracks[name] for line in lines]) for name in names}
    logprobs = pad([line.row.logprobs for line in lines]).float()
    if "log_kept" in tracks:
        logprobs = logprobs - tracks["log_kept"]
    targets = [line.targets for line in lines if line.targets is not None]
    assert len(targets) in (0, len(lines))
    terms = sorted({name for line in lines for name in line.terms})
    media = tuple(line.row.media for line in lines)
    return Batch(
        tokens=pad([line.row.tokens for line in lines]).long(),
        valid=valid,
        trained=pad([line.row.trained for line in lines]).bool(),
        logprobs=logprobs,
        advantages=pad([line.advantages for line in lines]).float(),
        weights=torch.zeros(len(lines), longest),
        temperature=torch.tensor([line.row.temperature or 1.0 for line in lines]),
        trajectory=torch.tensor([line.trajectory for line in lines], dtype=torch.long),
        group=torch.tensor([line.group for line in lines], dtype=torch.long),
        name=tuple(line.name for line in lines),
        model=tuple(line.row.model for line in lines),
        targets=pad(targets) if targets else None,
        tracks=tracks,
        terms={name: torch.tensor([line.terms.get(name, math.nan) for line in lines]) for name in terms},
        media=media if any(media) else (),
        grafted=torch.tensor([line.row.grafted for line in lines], dtype=torch.bool),
    )


def _neutral(name: str, line: _Line, other: _Line) -> Tensor:
    """The value of a track that says nothing; only the engine's own tracks have one."""
    if name not in ("log_kept", "kept"):
        raise ValueError(
            f'a group named {line.name!r} has no track "{name}" and one named {other.name!r} has; '
            "give the track to every group that is trained on"
        )
    like = other.tracks[name]
    return like.new_full((len(line.row), *like.shape[1:]), name == "kept")


def minibatches(batch: Batch, count: int, seed: int) -> list[list[int]]:
    """Row numbers of `count` mini-batches of whole groups, in a random order, as even in groups as can be.

    Fewer groups than `count` give fewer mini-batches, never an empty one.
    """
    groups = sorted(set(batch.group.tolist()))
    order = [groups[i] for i in generator(seed).permutation(len(groups))] if count > 1 else groups
    parts = [set(order[i::count]) for i in range(min(count, len(order)))]
    numbers = batch.group.tolist()
    return [[i for i, group in enumerate(numbers) if group in part] for part in parts]


def microbatches(batch: Batch, tokens: int, packed: bool = False) -> list[list[int]]:
    """Row numbers of micro-batches of at most `tokens` tokens each. Rows of one trajectory stay together, so a
    micro-batch may exceed `tokens` where a single trajectory does.

    Padded rows stand with others of like length, and count with their padding. Packed ones stand in the batch's own
    order, in which siblings are neighbours, and count without what they share with the row before them.
    """
    members: dict[int, list[int]] = {}
    for i, trajectory in enumerate(batch.trajectory.tolist()):
        members.setdefault(trajectory, []).append(i)
    return _packed(batch, tokens, members) if packed else _padded(batch, tokens, members)


def _padded(batch: Batch, tokens: int, members: dict[int, list[int]]) -> list[list[int]]:
    lengths = batch.valid.sum(1).tolist()
    parts: list[list[int]] = []
    longest = 0
    for rows in sorted(members.values(), key=lambda rows: (max(lengths[i] for i in rows), rows[0])):
        reach = max(longest, *(lengths[i] for i in rows))
        if parts and reach * (len(parts[-1]) + len(rows)) <= tokens:
            parts[-1].extend(rows)
            longest = reach
        else:
            parts.append(list(rows))
            longest = max(lengths[i] for i in rows)
    return [sorted(part) for part in parts]


def _packed(batch: Batch, tokens: int, members: dict[int, list[int]]) -> list[list[int]]:
    order = [i for rows in members.values() for i in rows]
    lengths = batch.valid.sum(1)[order]
    ids = batch.tokens[order]
    same = (ids[1:] == ids[:-1]) & (torch.arange(ids.shape[1]) < torch.minimum(lengths[1:], lengths[:-1])[:, None])
    new = (lengths - torch.cat([lengths.new_zeros(1), same.cumprod(1).sum(1)])).tolist()
    alone, fresh = dict(zip(order, lengths.tolist(), strict=True)), dict(zip(order, new, strict=True))
    parts: list[list[int]] = []
    filled = 0
    for rows in members.values():
        more = sum(fresh[i] for i in rows)
        if parts and filled + more <= tokens:
            parts[-1].extend(rows)
            filled += more
        else:  # its first row now has nobody before it
            parts.append(list(rows))
            filled = more - fresh[rows[0]] + alone[rows[0]]
    return [sorted(part) for part in parts]
