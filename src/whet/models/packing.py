"""Rows packed without padding, every distinct prefix once.

The rows of a batch are the leaves of a tree: the attempts at one problem share its prompt, the branches of a search
share their trunk. A causal model says the same of a token wherever what precedes it is the same, so each node of the
tree is computed once. `N` counts the nodes; a linear layer sees [N, H] and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

_WASTE = 1.5  # our choice: a bucket's padded scores may be this many times those that count
# Our choice: scores per head that cost less to compute in vain than one more bucket, whose kernels a GPU waits for.
_FEW = {"cpu": 40_000, "cuda": 2**24}


@dataclass(frozen=True)
class Segments:
    """Stretches of the tree, each inside one row: tokens `start` .. `stop` - 1 of row `row` are new with that row, and
    attend to the row's tokens from 0 to themselves. Each node is in one segment. All [S] int64."""

    row: np.ndarray
    start: np.ndarray
    stop: np.ndarray


@dataclass(frozen=True)
class Bucket:
    """Segments of like sizes side by side: n of them, Q their longest, K the longest context."""

    queries: Tensor  # [n * Q] int64: nodes; 0 where a segment is shorter
    keys: Tensor  # [n * K] int64: nodes; 0 where a context is shorter
    start: Tensor  # [n] int64: position of the first query
    shape: tuple[int, int, int]  # n, Q, K

    def mask(self, window: int | None = None) -> Tensor:
        """[n, 1, Q, K] bool: query q sees keys up to itself, with a sliding `window` the last that many."""
        _, q, k = self.shape
        at = self.start[:, None, None, None] + torch.arange(q, device=self.start.device)[:, None]
        key = torch.arange(k, device=self.start.device)
        seen = key <= at
        return seen if window is None else seen & (key > at - window)


@dataclass(frozen=True)
class Packing:
    """A batch of rows as a tree."""

    tokens: Tensor  # [N] int64
    positions: Tensor  # [N] int64: the depth of a node
    places: Tensor  # [B, T] int64: the node of each token; 0 behind the end of a row
    segments: Segments

    def __len__(self) -> int:
        return len(self.tokens)

    def to(self, device: torch.device | str) -> Packing:
        """The same tree with its tensors on another device."""
        if self.tokens.device == torch.device(device):
            return self
        return Packing(self.tokens.to(device), self.positions.to(device), self.places.to(device), self.segments)

    @cached_property
    def buckets(self) -> list[Bucket]:
        """The segments in buckets of like sizes, so that little is computed in vain."""
        parts = self.segments
        queries, keys = parts.stop - parts.start, parts.stop
        places = self.places.cpu().numpy()
        device = self.tokens.device
        out = []
        for at in self._members:
            n, q, k = len(at), int(queries[at].max()), int(keys[at].max())
            row, start, stop = parts.row[at, None], parts.start[at, None], parts.stop[at, None]
            column = start + np.arange(q)
            asked = np.where(column < stop, places[row, np.minimum(column, stop - 1)], 0)
            seen = np.where(np.arange(k) < stop, places[row, np.arange(k)], 0)
            out.append(Bucket(*(_on(x.reshape(-1), device) for x in (asked, seen, start)), shape=(n, q, k)))
        return out

    @cached_property
    def _members(self) -> list[np.ndarray]:
        """Numbers of the segments of each bucket."""
        parts = self.segments
        return _alike(parts.stop - parts.start, parts.stop, _FEW.get(self.tokens.device.type, _FEW["cuda"]))

    @cached_property
    def answers(self) -> Tensor:
        """[N] int64: where each node's query is among the queries of all buckets laid end to end."""
        parts, place, first = self.segments, np.zeros(len(self.tokens), np.int64), 0
        places = self.places.cpu().numpy()
        for at, bucket in zip(self._members, self.buckets, strict=True):
            _, q, _ = bucket.shape
            for i, s in enumerate(at):
                nodes = places[parts.row[s], parts.start[s] : parts.stop[s]]
                place[nodes] = first + i * q + np.arange(len(nodes))
            first += len(at) * q
        return _on(place, self.tokens.device)


def pack(tokens: Tensor, lengths: Sequence[int] | Tensor) -> Packing:
    """The tree of the first `lengths` [B] tokens of each row of `tokens` [B, T].

    In any order in which rows with a common prefix stand side by side, the longest prefix that a row shares with any
    row before it is the one that it shares with the row right before it.
    """
    ids, sizes = tokens.cpu().numpy(), np.asarray(lengths, np.int64)
    count, width = ids.shape
    order = sorted(range(count), key=lambda b: ids[b, : sizes[b]].tobytes())
    places = np.zeros((count, width), np.int64)
    nodes: list[np.ndarray] = []
    rows, starts, stops = [], [], []
    total, shared = 0, _shared(ids[order], sizes[order])
    for i, b in enumerate(order):
        start, stop = int(shared[i]), int(sizes[b])
        places[b, :start] = places[order[i - 1], :start]
        places[b, start:stop] = np.arange(total, total + stop - start)
        total += stop - start
        nodes.append(ids[b, start:stop])
        split = int(shared[i + 1]) if i + 1 < count else 0  # where the next row leaves this one
        for begin, end in ((start, split), (split, stop)) if start < split < stop else ((start, stop),):
            if begin < end:
                rows.append(b)
                starts.append(begin)
                stops.append(end)
    segments = Segments(np.array(rows, np.int64), np.array(starts, np.int64), np.array(stops, np.int64))
    positions = [np.arange(s, s + len(n)) for s, n in zip(shared, nodes, strict=True)]
    flat = np.concatenate(nodes) if nodes else np.zeros(0, np.int64)
    depth = np.concatenate(positions) if positions else np.zeros(0, np.int64)
    return Packing(torch.from_numpy(flat), torch.from_numpy(depth), torch.from_numpy(places), segments)


def _on(values: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(values).to(device)


def _shared(ids: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """[B]: how many tokens each row has in common with the row before it, from the start."""
    if not len(ids):
        return np.zeros(0, np.int64)
    reach = np.minimum(sizes[1:], sizes[:-1])
    same = (ids[1:] == ids[:-1]) & (np.arange(ids.shape[1]) < reach[:, None])
    return np.concatenate([[0], np.logical_and.accumulate(same, 1).sum(1)])


def _alike(queries: np.ndarray, keys: np.ndarray, few: int) -> list[np.ndarray]:
    """Numbers of the segments of each bucket."""
    out: list[list[int]] = []
    useful = wide = long = 0
    for s in np.lexsort((queries, keys)):
        q, k = int(queries[s]), int(keys[s])
        n = len(out[-1]) + 1 if out else 1
        padded = n * max(wide, q) * max(long, k)
        if out and padded - useful - q * k <= max(few, (_WASTE - 1) * (useful + q * k)):
            out[-1].append(int(s))
            useful, wide, long = useful + q * k, max(wide, q), max(long, k)
        else:
            out.append([int(s)])
            useful, wide, long = q * k, q, k
    return [np.array(part) for part in out]
