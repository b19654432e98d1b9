from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers.examples import attempt, group, row, scored
from helpers.shapes import Letters, metrics, odd, played
from hypothesis import given
from hypothesis import strategies as st

from whet.callbacks.context import ContextCost, attention_pairs, peak_context
from whet.objectives.clip import Clip
from whet.rollouts.chunked import Chunked
from whet.scoring import Weighted
from whet.stages.learning import Train
from whet.stages.rl import RL
from whet.types import Decoding, Trajectory


def rows_of(*lengths: int) -> Trajectory:
    return attempt(*(row(range(1, n + 1), [0] * (n - 1) + [1]) for n in lengths))


def test_pairs_and_peak_of_rows_of_3_and_4_tokens():
    assert attention_pairs(rows_of(3, 4)) == 6 + 10
    assert peak_context(rows_of(3, 4, 2)) == 4


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5))
def test_pairs_are_counted_one_by_one(lengths: list[int]):
    seen = sum(1 for n in lengths for token in range(n) for other in range(n) if other <= token)
    assert attention_pairs(rows_of(*lengths)) == seen


def test_the_compute_model_is_met_where_the_prompt_is_short():
    """n = 24576 tokens: n^2 / 2 in one context; C^2 / 2 for each of n / (C - m) chunks, C = 8192 and m = 4096."""
    whole, chunks = rows_of(24576), rows_of(*[8192] * 5)
    assert attention_pairs(whole) == pytest.approx(24576**2 / 2, rel=1e-3)
    assert attention_pairs(chunks) == pytest.approx(5 * 8192**2 / 2, rel=1e-3)
    assert attention_pairs(chunks) / attention_pairs(whole) == pytest.approx(5 / 9, rel=1e-3)


def test_a_step_is_noted(tmp_path: Path):
    rollout = Chunked(carry=4, chunks=4, head=2, group=4, decoding=Decoding(max_tokens=8))
    train = {"policy": Train(Clip())}
    stage = RL(Letters(), rollout, Weighted({"odd": odd}), train, problems=3, steps=2, callbacks=[ContextCost()])
    _, steps = played(tmp_path, stage)
    for line, scored_P in zip(metrics(tmp_path), steps, strict=True):
        traces = [t for s in scored_P for t in s.group.trajectories]
        assert line["context/peak"] == max(len(r) for t in traces for r in t.rows)
        assert line["context/pairs"] == pytest.approx(sum(map(attention_pairs, traces)) / 12)
        assert line["context/rows"] == pytest.approx(sum(len(t.rows) for t in traces) / 12)


def test_a_step_without_attempts_notes_nothing():
    noted: dict[str, Any] = {}

    class Notes:
        def note(self, metrics: dict[str, float]) -> None:
            noted.update(metrics)

    asyncio.run(ContextCost()(Notes(), 0, []))
    assert not noted
    one = rows_of(3)
    asyncio.run(ContextCost()(Notes(), 0, [scored(group(one, replace(one)), [0.0, 1.0])]))
    assert noted == {"context/peak": 3.0, "context/pairs": 6.0, "context/rows": 1.0}
