"""Cutting and joining rows: pure functions on trajectories that know no tokenizer and no model.

Per-token tracks lie over all rows end to end, so every change of a row changes them alike. A token that nobody has an
entry for gets the neutral one: True in a bool track (a sampling mask: nothing was forbidden), 0 in any other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from whet.types import Media, Row, Stop, Trajectory, Turn, tokens_in

Read = Callable[[Sequence[int]], str]  # token ids -> text


def given(
    ids: Sequence[int] | Tensor, model: str = "policy", trained: bool = False, media: Sequence[Media] = ()
) -> Row:
    """A row of tokens that no model chose."""
    tokens = torch.as_tensor(ids, dtype=torch.long)
    count = len(tokens)
    return Row(
        tokens=tokens,
        sampled=torch.zeros(count, dtype=torch.bool),
        trained=torch.full((count,), trained),
        logprobs=torch.zeros(count),
        versions=torch.full((count,), -1, dtype=torch.int32),
        model=model,
        media=tuple(media),
    )


def neutral(track: Tensor, count: int) -> Tensor:
    """`count` entries that say nothing, shaped like those of `track`."""
    return torch.full((count, *track.shape[1:]), track.dtype == torch.bool, dtype=track.dtype)


def joined_tracks(first: Mapping[str, Tensor], n: int, then: Mapping[str, Tensor], m: int) -> dict[str, Tensor]:
    """Tracks over n tokens and then m tokens, neutral where one side lacks the name."""
    names = [*first, *(name for name in then if name not in first)]
    out = {}
    for name in names:
        a, b = first.get(name), then.get(name)
        like = a if a is not None else then[name]
        out[name] = torch.cat([neutral(like, n) if a is None else a, neutral(like, m) if b is None else b])
    return out


def joined_rows(first: Row, then: Row) -> Row:
    """The tokens of `then` behind those of `first`; `then` says who sampled, and how, if any of its own are sampled."""
    arrays = {
        name: torch.cat([getattr(first, name), getattr(then, name)])
        for name in ("tokens", "sampled", "trained", "logprobs", "versions")
    }
    media = (*first.media, *(replace(m, start=m.start + len(first)) for m in then.media))
    if not then.sampled.any():
        return replace(first, **arrays, media=media, grafted=first.grafted or then.grafted)
    truncated = then.truncated or (first.truncated and bool(first.sampled.any()))
    said = {"model": then.model, "temperature": then.temperature, "truncated": truncated}
    return Row(**arrays, **said, media=media, grafted=first.grafted or then.grafted)


def append(
    trajectory: Trajectory,
    row: Row,
    role: str,
    text: str,
    stop: Stop = "",
    tracks: Mapping[str, Tensor] | None = None,
) -> Trajectory:
    """`row`'s tokens at the end of the last row, as one more turn; `tracks` are over the new tokens."""
    last = trajectory.rows[-1]
    turn = Turn(role=role, text=text, row=len(trajectory.rows) - 1, start=len(last), stop=len(last) + len(row))
    return replace(
        trajectory,
        rows=(*trajectory.rows[:-1], joined_rows(last, row)),
        turns=(*trajectory.turns, turn),
        stop=stop,
        tracks=joined_tracks(trajectory.tracks, tokens_in(trajectory), tracks or {}, len(row)),
    )


def reopen(trajectory: Trajectory, ids: Sequence[int], model: str, text: str) -> Trajectory:
    """One more row that holds `ids`, none of them sampled or trained, as a "prompt" turn. ValueError if empty."""
    if len(ids) == 0:
        raise ValueError(f"reopen got no tokens (problem {trajectory.problem.id!r}); give the new row a context")
    row = given(ids, model)
    turn = Turn(role="prompt", text=text, row=len(trajectory.rows), start=0, stop=len(row))
    return replace(
        trajectory,
        rows=(*trajectory.rows, row),
        turns=(*trajectory.turns, turn),
        stop="",
        tracks=joined_tracks(trajectory.tracks, tokens_in(trajectory), {}, len(row)),
    )


def cut(trajectory: Trajectory, row: int, stop: int, read: Read) -> Trajectory:
    """Everything before token `stop` of row `row`.

    A turn that is cut through keeps its first part, without its reward (that was for the whole). A row that is left
    with no sampled token forgets its temperature, so that it can be sampled at another. ValueError for a place that
    does not exist or that lies inside a medium.
    """
    if not 0 <= row < len(trajectory.rows):
        raise ValueError(f"cut got row {row}, but there are {len(trajectory.rows)} rows; count from 0")
    if not 1 <= stop <= len(trajectory.rows[row]):
        raise ValueError(f"cut got stop {stop} in a row of {len(trajectory.rows[row])} tokens; keep at least 1")
    kept = head(trajectory.rows[row], stop)
    before = sum(len(r) for r in trajectory.rows[:row])
    turns = []
    for turn in trajectory.turns:
        if turn.row < row or (turn.row == row and turn.stop <= stop):
            turns.append(turn)
        elif turn.row == row and turn.start < stop:
            text = read(kept.tokens[turn.start :].tolist())
            turns.append(replace(turn, stop=stop, text=text, reward=0.0))
    return replace(
        trajectory,
        rows=(*trajectory.rows[:row], kept),
        turns=tuple(turns),
        stop="",
        tracks={name: track[: before + stop] for name, track in trajectory.tracks.items()},
    )


def head(row: Row, stop: int) -> Row:
    """The first `stop` tokens of a row."""
    for medium in row.media:
        if medium.start < stop < medium.start + medium.length:
            end = medium.start + medium.length
            raise ValueError(f"cut at {stop} falls inside a {medium.kind} at {medium.start}:{end}; cut beside it")
    kept = _part(row, 0, stop)
    return kept if kept.sampled.any() else replace(kept, temperature=1.0, truncated=False)


def graft(trajectory: Trajectory, opened: Trajectory, read: Read) -> Trajectory:
    """The last row's tokens from its first sampled one on, behind `opened`'s tokens.

    Log-probs, versions, masks and tracks of the tokens follow them, and so do the tokens that others put in between.
    Rows of `trajectory` before its last are gone; problem, stop and info stay its own. The row is marked as grafted if
    its context changed. ValueError if nothing was
    sampled in the last row.
    """
    last = trajectory.rows[-1]
    where = last.sampled.nonzero()
    if len(where) == 0:
        raise ValueError(f"graft: nothing was sampled in the last row of problem {trajectory.problem.id!r}")
    first, base = int(where[0]), opened.rows[-1]
    tail = _part(last, first, len(last))
    shift = len(base) - first
    turns = []
    for turn in trajectory.turns:
        if turn.row == len(trajectory.rows) - 1 and turn.stop > first:
            start = max(turn.start, first)
            text = turn.text if start == turn.start else read(last.tokens[start : turn.stop].tolist())
            place = {"row": len(opened.rows) - 1, "start": start + shift, "stop": turn.stop + shift}
            turns.append(replace(turn, text=text, **place))
    elsewhere = bool(base.media) or not base.tokens.equal(last.tokens[:first])
    row = joined_rows(base, tail)
    offset = tokens_in(trajectory) - len(tail)
    moved = {name: track[offset:] for name, track in trajectory.tracks.items()}
    return replace(
        trajectory,
        rows=(*opened.rows[:-1], replace(row, grafted=row.grafted or elsewhere)),
        turns=(*opened.turns, *turns),
        tracks=joined_tracks(opened.tracks, tokens_in(opened), moved, len(tail)),
    )


def _part(row: Row, start: int, stop: int) -> Row:
    arrays = {name: getattr(row, name)[start:stop] for name in ("tokens", "sampled", "trained", "logprobs", "versions")}
    inside = (m for m in row.media if m.start >= start and m.start + m.length <= stop)
    return replace(row, **arrays, media=tuple(replace(m, start=m.start - start) for m in inside))
