"""Curricula in a run: what they draw with is in the log, their state in the checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.shapes import Letters, go, killed, metrics, odd, same

from whet.curricula.bandit import Bandit
from whet.curricula.below_target import BelowTarget
from whet.curricula.by_variance import ByVariance
from whet.curricula.staged import Staged
from whet.curricula.uniform import Uniform
from whet.curricula.within_band import WithinBand
from whet.filters.mixed import Mixed
from whet.objectives.clip import Clip
from whet.rollouts.sample import Sample
from whet.run import Save
from whet.scoring import Weighted
from whet.stages.learning import Train
from whet.stages.rl import RL
from whet.tasks.mixture import Mixture
from whet.types import Curriculum, Decoding

KINDS: dict[str, Callable[[], Curriculum]] = {
    "bandit": Bandit,
    "smoothed": lambda: BelowTarget(every=1),
    "decayed": lambda: BelowTarget(form="decayed", every=2),
    "staged": lambda: Staged(("a", "b"), steps=3, earlier=0.2),
    "band": lambda: WithinBand(outside=0.01),
    "variance": ByVariance,
    "bandit over a band": lambda: Bandit(WithinBand(outside=0.01), temperature=1.0),
}


def stage(curriculum: Curriculum, ahead: int = 0, steps: int = 6) -> RL:
    return RL(
        Mixture({"a": Letters(), "b": Letters()}),
        Sample(group=2, decoding=Decoding(max_tokens=3)),
        Weighted({"correct": odd}),
        {"policy": Train(Clip(), lr=1e-2)},
        curriculum=curriculum,
        problems=3,
        steps=steps,
        ahead=ahead,
        save=Save(every=2),
    )


@pytest.mark.parametrize("ahead", [0, 1])
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(kind: str, ahead: int, tmp_path: Path) -> None:
    go(tmp_path / "plain", stage(KINDS[kind](), ahead))
    killed(tmp_path / "killed", lambda: stage(KINDS[kind](), ahead), at=[3, 4])
    assert same(tmp_path / "plain", tmp_path / "killed")


@pytest.mark.parametrize("ahead", [0, 2])
def test_the_log_has_what_a_step_was_drawn_with(ahead: int, tmp_path: Path) -> None:
    part = Bandit()
    go(tmp_path, stage(part, ahead))
    lines = metrics(tmp_path)
    first = [line["curriculum/P/a"] == line["curriculum/P/b"] == 0.5 for line in lines]
    assert first[: ahead + 1] == [True] * (ahead + 1) and not all(first)
    assert lines[-1]["curriculum/P/a"] != part.odds("ab")["a"]  # that is for the step that would come next
    assert all(line["curriculum/P/a"] + line["curriculum/P/b"] == pytest.approx(1.0) for line in lines)


def test_a_curriculum_that_has_nothing_to_tell_adds_nothing(tmp_path: Path) -> None:
    go(tmp_path, stage(Uniform(), steps=1))
    assert not [name for name in metrics(tmp_path)[0] if name.startswith("curriculum/")]


def test_what_a_filter_leaves_out_counts_too(tmp_path: Path) -> None:
    """Groups without a difference teach the policy nothing, and the bandit that there is nothing to learn."""
    part = Bandit()
    go(tmp_path, replace(stage(part), filter=Mixed()))
    drawn = sum(known["drawn"] for known in part.state.values())
    sizes = [size for known in part.state.values() for size in known["sizes"]]
    assert drawn == 6 * 3 * 2 == len(sizes) and 0.0 in sizes
