"""Sampling inside another model's top-p set. What learning makes of it: `tests/shapes/test_stored_mask.py`."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import torch
from helpers.model_small import shaken
from helpers.shapes import Letters, tiny
from hypothesis import given
from hypothesis import strategies as st

from whet.engines.native import Native
from whet.models.lm import LM
from whet.models.tiny import TinyQwen
from whet.rewards.kl import KLPenalty
from whet.rollouts.sample_inside import Inside, SampleInside, likely
from whet.tracks.reference import Logprobs
from whet.types import Decoding, Group, Trajectory

FIRST, SECOND = (0.5, 0.3, 0.15, 0.05), (0.95, 0.03, 0.01, 0.01)
KEPT = Decoding(max_tokens=12)


@pytest.fixture(scope="module")
def lm() -> LM:
    return tiny()


@pytest.fixture(scope="module")
def other() -> LM:
    return tiny(seed=1)


def play(rollout: SampleInside, lm: LM, mask: LM, count: int = 3) -> list[Trajectory]:
    async def everyone() -> list[list[Group]]:
        models = {"policy": Native(lm), "mask": Native(mask, "mask")}
        problems = [Letters().problem("train", i) for i in range(count)]
        return await asyncio.gather(*(rollout(models, p, 3 + i) for i, p in enumerate(problems)))

    return [attempt for (group,) in asyncio.run(everyone()) for attempt in group.trajectories]


@pytest.mark.parametrize(
    ("probs", "ways", "kept"),
    [
        (FIRST, {"top_p": 0.9}, (1, 1, 1, 0)),
        (SECOND, {"top_p": 0.9}, (1, 0, 0, 0)),
        (SECOND, {"top_p": 0.9, "least": 3}, (1, 1, 1, 0)),
        (FIRST, {"top_p": 0.4}, (1, 0, 0, 0)),  # the first is always in
        (FIRST, {"top_p": 1.0, "top_k": 2}, (1, 1, 0, 0)),
        (FIRST, {"top_p": 0.6, "top_k": 2}, (1, 0, 0, 0)),  # 5/8 of what top-k leaves
        (FIRST, {"top_p": 1.0}, (1, 1, 1, 1)),
        ((0.25, 0.25, 0.25, 0.25), {"top_p": 0.5}, (1, 1, 0, 0)),  # among equals the lower id
    ],
)
def test_the_token_that_crosses_p_stays_and_at_least_so_many(
    probs: tuple[float, ...], ways: dict[str, Any], kept: tuple[int, ...]
):
    logits = torch.tensor([probs, probs[::-1]]).log()
    told = likely(logits, **ways)
    assert tuple(told[0].int().tolist()) == kept
    if len(set(probs)) == len(probs):
        assert told[1].equal(told[0].flip(0))


@given(st.lists(st.floats(-20, 20, width=32), min_size=1, max_size=12), st.floats(0.01, 1.0), st.integers(1, 12))
def test_the_set_reaches_p_and_no_token_outside_is_likelier_than_one_inside(
    logits: list[float], top_p: float, least: int
):
    (kept,) = likely(torch.tensor([logits]), top_p, least=least)
    probs = torch.tensor(logits).double().softmax(-1)
    assert float(probs[kept].sum()) >= top_p - 1e-6 and int(kept.sum()) >= min(least, len(logits))
    if not kept.all():
        assert float(probs[~kept].max()) <= float(probs[kept].min())


def test_a_cut_of_a_cut_distribution_is_smaller_again():
    """Which is why the entropy is to be watched where the mask learns from what it let through."""
    (first,) = likely(torch.tensor([FIRST]).log(), 0.6)
    inside = torch.tensor(FIRST) * first
    (second,) = likely((inside / inside.sum()).log()[None], 0.6)
    assert first.tolist() == [True, True, False, False] and second.tolist() == [True, False, False, False]


def test_every_token_lies_in_the_masks_own_set_or_is_special(lm: LM, other: LM):
    attempts = play(SampleInside(top_p=0.5, group=4, decoding=KEPT), lm, other)
    special = Native(other).special
    assert lm.codec.eos[0] in special
    for attempt in attempts:
        (row,), kept = attempt.rows, attempt.tracks["kept"]
        with torch.no_grad():
            theirs = other.logits(other.hidden(row.tokens[None])[0])
            ours = lm.logits(lm.hidden(row.tokens[None])[0]).log_softmax(-1)
        sets = likely(theirs[:-1], 0.5)
        sets[:, list(special)] = True
        on = row.sampled[1:]
        assert kept[1:][on].equal(sets[on]) and not sets[on].all()
        assert kept[row.sampled].gather(1, row.tokens[row.sampled, None]).all()
        raw = ours[:-1].gather(1, row.tokens[1:, None])[:, 0]  # what is stored is the whole distribution's
        assert torch.allclose(row.logprobs[1:][on], raw[on], atol=1e-5)
        mass = ours[:-1].masked_fill(~sets, -torch.inf).logsumexp(-1)
        assert torch.allclose(attempt.tracks["log_kept"][1:][on], mass[on], atol=1e-5)
        assert row.truncated


def test_a_kl_of_the_stored_log_probs_is_0_against_the_policy_itself(lm: LM, other: LM):
    """Of log-probs inside the mask it would not be: their mass is all in the set."""
    attempts = play(SampleInside(top_p=0.5, decoding=KEPT), lm, other, count=1)
    group = Group(attempts[0].problem, tuple(attempts))
    (tracked,) = asyncio.run(Logprobs()({"reference": Native(lm)}, [group]))
    penalties = KLPenalty()(tracked)
    assert all(penalty.abs().max() < 1e-5 for penalty in penalties)
    assert min(float(t.tracks["log_kept"].min()) for t in attempts) < -0.1


def test_the_mask_reads_a_prompt_once_and_then_what_was_written(lm: LM, other: LM):
    mask, policy = Native(other, "mask"), Native(lm)
    problem = Letters().problem("train", 2)
    rollout = SampleInside(group=6, decoding=KEPT)
    asyncio.run(rollout({"policy": policy, "mask": mask}, problem, 0))  # type: ignore[arg-type]
    assert mask.read == len(policy.open(problem).rows[0])


def test_processors_of_the_decoding_come_first(lm: LM):
    def not_a(tokens: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        logits[letter] = -torch.inf
        return logits

    letter = lm.codec.tokenizer.convert_tokens_to_ids("a")
    decoding = Decoding(max_tokens=12, processors=(not_a,))
    for attempt in play(SampleInside(top_p=1.0, decoding=decoding), lm, lm, count=1):
        assert letter not in attempt.rows[0].tokens[attempt.rows[0].sampled].tolist()


def test_a_mask_of_other_tokens_and_one_that_can_not_say_are_refused(lm: LM):
    wide = shaken(TinyQwen(width=32, layers=1, heads=2, kv_heads=1))
    with pytest.raises(ValueError, match="take one of its kind"):
        play(SampleInside(decoding=KEPT), lm, wide)
    unable: Any = object()
    with pytest.raises(ValueError, match="no local model"):
        asyncio.run(SampleInside()({"policy": Native(lm), "mask": unable}, Letters().problem("train", 0), 0))


@pytest.mark.parametrize("wrong", [{"top_p": 0.0}, {"top_p": 1.1}, {"top_k": -1}, {"least": 0}, {"group": 0}])
def test_numbers_out_of_range_are_refused(wrong: dict[str, Any]):
    with pytest.raises(ValueError, match=f"SampleInside.{next(iter(wrong))}"):
        SampleInside(**wrong)


def test_processors_that_ask_the_same_in_the_same_way_are_equal(lm: LM):
    """So that all rows of a wave are asked for together, whatever problem they answer."""
    mask = Native(lm)
    assert Inside(mask) == Inside(mask) and Inside(mask) != Inside(mask, top_p=0.5)
