"""Promises of advantages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from whet.examples import example_scored
from whet.promises.common import SEEDS, hold, near, portable, untouched
from whet.types import Advantage, Credit, Scored, joined, tokens_in


def check_advantage(advantage: Advantage) -> None:
    """Shapes P x G x [T]; finite, 0 off the trained tokens; the order of siblings and of groups changes nothing, nor do
    other groups (unless `batch_wide`); equal rewards give exactly 0 where `group_relative`; a group of one and an empty
    batch are fine; inputs are left alone; it can be pickled."""
    portable(advantage)
    hold(advantage([]).advantages == [], advantage, "an empty batch must give an empty Credit")
    for seed in SEEDS:
        scored_P = example_scored(seed)
        with untouched(advantage, scored_P):
            credit = advantage(scored_P)
        _credit(advantage, credit, scored_P)
        _credit(advantage, advantage(example_scored(seed, attempts=1)), example_scored(seed, attempts=1))
        backwards = advantage([_reversed(scored) for scored in scored_P])
        turned = Credit(_flipped(credit.advantages), credit.targets and _flipped(credit.targets))
        hold(_equal_credit(backwards, turned), advantage, "the order of siblings changes the advantages")
        shuffled = advantage(scored_P[::-1])
        turned = Credit(credit.advantages[::-1], credit.targets and credit.targets[::-1])
        hold(_equal_credit(shuffled, turned), advantage, "the order of groups changes the advantages")
        if not getattr(advantage, "batch_wide", False):
            alone = [advantage([scored]) for scored in scored_P]
            same = all(near(a, b) for c, x_G in zip(alone, credit.advantages, strict=True) for a, b in _pairs(c, x_G))
            hold(same, advantage, "other groups change a group's advantages; if that is meant, say batch_wide = True")
        if getattr(advantage, "group_relative", False):
            _level_is_zero(advantage, seed, scored_P)


def _level_is_zero(advantage: Advantage, seed: int, others: list[Scored]) -> None:
    for attempts in (3, 5, 6, 7):  # our choice: sizes and values whose mean is rounded
        level = example_scored(seed, groups=1, attempts=attempts)[0]
        for value in (0.0, 1.0, 0.1, -0.7, 0.3):
            credit = advantage([_level(level, value), *others])
            zero = not any(x.any() for x in credit.advantages[0])
            sentence = f"it is group_relative, and {attempts} rewards of {value} do not get exactly 0"
            hold(zero, advantage, sentence)


def _credit(advantage: Advantage, credit: Credit, scored_P: list[Scored]) -> None:
    for what, values in (("advantages", credit.advantages), ("targets", credit.targets)):
        if values is None:
            continue
        counts = [len(values_G) for values_G in values]
        expected = [len(scored.group.trajectories) for scored in scored_P]
        hold(counts == expected, advantage, f"{what} must be lists of {expected} attempts per group, got {counts}")
        for scored, values_G in zip(scored_P, values, strict=True):
            for trajectory, x in zip(scored.group.trajectories, values_G, strict=True):
                length, shape = tokens_in(trajectory), tuple(x.shape)
                hold(shape == (length,), advantage, f"{what} of an attempt of {length} tokens have shape {shape}")
                hold(bool(x.isfinite().all()), advantage, f"{what} are not finite")
                off = ~joined(trajectory, "trained")
                hold(not x[off].any(), advantage, f"{what} are not 0 on tokens that are not trained")


def _pairs(credit: Credit, other_G: list[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
    return zip(credit.advantages[0], other_G, strict=True)


def _equal_credit(a: Credit, b: Credit) -> bool:
    sides = [(a.advantages, b.advantages), (a.targets or [], b.targets or [])]
    return all(
        near(x, y) for p, q in sides for p_G, q_G in zip(p, q, strict=True) for x, y in zip(p_G, q_G, strict=True)
    )


def _flipped(values: list[list[Tensor]]) -> list[list[Tensor]]:
    return [values_G[::-1] for values_G in values]


def _reversed(scored: Scored) -> Scored:
    group = replace(scored.group, trajectories=scored.group.trajectories[::-1])
    return replace(
        scored, group=group, rewards=scored.rewards[::-1], terms={k: v.flip(0) for k, v in scored.terms.items()}
    )


def _level(scored: Scored, value: float) -> Scored:
    """The same group, where every attempt gets `value` on its last token."""
    rewards = [torch.zeros_like(r).index_fill(0, torch.tensor([len(r) - 1]), value) for r in scored.rewards]
    return replace(scored, rewards=tuple(rewards))
