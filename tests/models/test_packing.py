import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from whet.models.packing import pack

ROWS = st.lists(st.lists(st.integers(0, 2), min_size=0, max_size=9), min_size=1, max_size=12)


def padded(rows: list[list[int]]) -> tuple[torch.Tensor, list[int]]:
    tokens = torch.zeros(len(rows), max(1, *(len(row) for row in rows), 0), dtype=torch.long)
    for i, row in enumerate(rows):
        tokens[i, : len(row)] = torch.tensor(row, dtype=torch.long)
    return tokens, [len(row) for row in rows]


@given(ROWS)
def test_every_distinct_prefix_is_one_node(rows):
    packing = pack(*padded(rows))
    prefixes = {tuple(row[:stop]) for row in rows for stop in range(1, len(row) + 1)}
    assert len(packing) == len(prefixes)
    node = {tuple(row[: t + 1]): int(packing.places[b, t]) for b, row in enumerate(rows) for t in range(len(row))}
    assert sorted(node.values()) == list(range(len(packing)))
    for prefix, place in node.items():
        assert int(packing.tokens[place]) == prefix[-1] and int(packing.positions[place]) == len(prefix) - 1
    for b, row in enumerate(rows):
        assert packing.places[b, : len(row)].tolist() == [node[tuple(row[: t + 1])] for t in range(len(row))]


@given(ROWS)
def test_each_node_is_asked_once_and_sees_its_own_path(rows):
    packing = pack(*padded(rows))
    paths = {
        int(packing.places[b, t]): packing.places[b, : t + 1].tolist()
        for b, row in enumerate(rows)
        for t in range(len(row))
    }
    first, seen = 0, {}
    for bucket in packing.buckets:
        n, q, k = bucket.shape
        queries, keys, mask = bucket.queries.view(n, q), bucket.keys.view(n, k), bucket.mask()[:, 0]
        for i in range(n):
            for j in range(q):
                seen[first + i * q + j] = (int(queries[i, j]), keys[i][mask[i, j]].tolist())
        first += n * q
    for node, slot in enumerate(packing.answers.tolist()):
        assert seen[slot] == (node, paths[node])
    assert len(set(packing.answers.tolist())) == len(packing)


def test_a_window_hides_what_is_further_back():
    (bucket,) = pack(torch.tensor([[5, 6, 7, 8]]), [4]).buckets
    assert bucket.mask(2)[0, 0].tolist() == [
        [True, False, False, False],
        [True, True, False, False],
        [False, True, True, False],
        [False, False, True, True],
    ]


def test_the_prompt_of_a_group_is_in_a_segment_of_its_own():
    rows = [[1, 2, 3, 4, 5], [1, 2, 3, 6], [1, 2, 3, 7]]
    parts = pack(*padded(rows)).segments
    assert sorted(zip(parts.start.tolist(), parts.stop.tolist(), strict=True)) == [(0, 3), (3, 4), (3, 4), (3, 5)]


def test_buckets_waste_little_when_lengths_have_a_heavy_tail():
    rng = np.random.default_rng(0)
    lengths = np.minimum(1 + rng.pareto(1.2, 300) * 20, 1500).astype(int)
    tokens = torch.from_numpy(rng.integers(0, 1000, (300, 1500)))
    packing = pack(tokens, lengths.tolist())
    needed = sum(int(n) ** 2 for n in lengths)
    padded = sum(n * q * k for n, q, k in (bucket.shape for bucket in packing.buckets))
    assert len(packing.buckets) < 40
    assert padded < 1.7 * needed
