"""Promises of reward terms and filters."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from whet.examples import example_group, example_scored
from whet.promises.common import SEEDS, ContractError, hold, label, near, portable, untouched
from whet.types import Filter, Group, Judged, Term, tokens_in


def check_reward(term: Term, groups: Sequence[Group] | None = None) -> None:
    """One number per attempt, or one per token; finite, or NaN for "no verdict"; the same when asked twice; the order
    of siblings changes nothing; inputs are left alone; it can be pickled. `groups`: on what, else on `example_group`.
    """
    portable(term)
    for group in groups or [example_group(seed) for seed in SEEDS]:
        with untouched(term, group):
            values = _values(term, group)
        for trajectory, value in zip(group.trajectories, values, strict=True):
            length, shape = tokens_in(trajectory), tuple(value.shape)
            sentence = f"an attempt of {length} tokens must get one number or {length}, got shape {shape}"
            hold(shape in ((), (length,)), term, sentence)
            hold(not value.isinf().any(), term, "a reward is infinite; it must be finite, or NaN for 'no verdict'")
        again = _values(term, group)
        hold(all(near(a, b) for a, b in zip(values, again, strict=True)), term, "asked twice, it gives other rewards")
        turned = _values(term, replace(group, trajectories=group.trajectories[::-1]))
        same = all(near(a, b) for a, b in zip(values[::-1], turned, strict=True))
        hold(same, term, "the order of siblings changes the rewards")


def _values(term: Term, group: Group) -> list[Tensor]:
    async def ask() -> Any:
        value = term(group)
        return await value if isinstance(value, Awaitable) else value

    try:
        value = asyncio.run(ask())
    except Exception as error:
        raise ContractError(f"{label(term)} raised {type(error).__name__}: {error} on {group.problem.id!r}") from error
    value = value.values if isinstance(value, Judged) else value
    count = len(group.trajectories)
    hold(len(value) == count, term, f"it gave {len(value)} values for {count} attempts")
    return [torch.as_tensor(v, dtype=torch.float32) for v in value]


def check_filter(keep: Filter) -> None:
    """It gives some of the groups it was given, untouched and in their order; an empty batch is fine; it can be
    pickled."""
    portable(keep)
    hold(keep([]) == [], keep, "an empty batch must give an empty list")
    for seed in SEEDS:
        scored_P = example_scored(seed)
        with untouched(keep, scored_P):
            kept = [id(scored) for scored in keep(scored_P)]
        ordered = [id(scored) for scored in scored_P if id(scored) in kept]
        hold(kept == ordered, keep, "it must give some of the very groups it was given, each once, in their order")
