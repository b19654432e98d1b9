"""Draws go on until enough groups are worth learning from, within a bound, and in the order of the draw."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers.examples import attempt, group, row, scored
from helpers.shapes import Letters, go, metrics, odd, played, tiny, watched

from whet.advantages.group_mean import GroupMean
from whet.batching import collate
from whet.filters.accuracy_band import AccuracyBand
from whet.filters.mixed import Mixed
from whet.objectives.clip import Clip
from whet.rollouts.sample import Sample
from whet.run import Silent
from whet.scoring import Weighted
from whet.stages.learning import Train
from whet.stages.rl import RL
from whet.types import Batch, Decoding, Filter, Outputs


class Warned(Silent):
    def __init__(self) -> None:
        self.said: list[str] = []

    def warn(self, text: str) -> None:
        self.said.append(text)


def stage(filter_: Filter, refills: int, seen: list[tuple[Outputs, Batch]], steps: int = 3) -> RL:
    rollout = Sample(group=4, decoding=Decoding(max_tokens=3))
    return RL(
        Letters(),
        rollout,
        Weighted({"correct": odd}),
        {"policy": Train(watched(Clip(), seen))},
        filter=filter_,
        problems=3,
        refills=refills,
        steps=steps,
    )


def test_the_batch_is_filled_in_draw_order_and_no_further(tmp_path: Path):
    seen: list[tuple[Outputs, Batch]] = []
    keep = AccuracyBand(0.5, 0.5)
    _, steps = played(tmp_path, stage(keep, 5, seen))
    draws = []
    for scored_P, (_, batch) in zip(steps, seen, strict=True):
        assert [s.group.slot for s in scored_P] == list(range(len(scored_P))) and len(scored_P) % 3 == 0
        draws.append(len(scored_P) // 3)
        kept = keep(scored_P)[:3]
        assert len(keep(scored_P[:-3])) < 3 or draws[-1] == 1  # the last draw was needed
        assert torch.equal(batch.tokens, collate(kept, GroupMean()(kept)).tokens)
        for s in kept:
            assert float(torch.stack([r.sum() for r in s.rewards]).std()) > 0
    assert max(draws) > 1 and max(draws) <= 6
    assert [line["groups/kept"] for line in metrics(tmp_path)] == [3, 3, 3]
    again: list[tuple[Outputs, Batch]] = []
    played(tmp_path / "again", stage(keep, 5, again))
    assert all(torch.equal(a.tokens, b.tokens) for (_, a), (_, b) in zip(seen, again, strict=True))


def test_where_all_are_rejected_nothing_changes_and_one_warning_says_so(tmp_path: Path):
    seen: list[tuple[Outputs, Batch]] = []
    lm, screen = tiny(), Warned()
    before = {name: value.clone() for name, value in lm.state_dict().items()}
    go(tmp_path, stage(AccuracyBand(0.9, 0.95), 2, seen, steps=1), {"policy": lm}, screen=screen)
    assert screen.said == ["step 0: nothing to learn from for 'policy', no update"] and seen == []
    assert all(value.equal(before[name]) for name, value in lm.state_dict().items())
    (line,) = metrics(tmp_path)
    assert line["groups"] == 3 * 3 and line["groups/kept"] == 0  # one draw and two refills


@pytest.mark.parametrize(("correct", "kept"), [(0, 0), (1, 0), (2, 1), (6, 1), (7, 0), (8, 0)])
def test_the_bounds_of_the_band_belong_to_it(correct: int, kept: int):
    attempts = [attempt(row([1, 2], [0, 1])) for _ in range(8)]
    one = scored(group(*attempts), [1.0] * correct + [0.0] * (8 - correct))
    assert len(AccuracyBand()([one])) == kept
    assert len(Mixed()([one])) == (0 < correct < 8)
