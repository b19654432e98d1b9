"""Only what stands in the last context is an answer, what was carried into it included."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from helpers.examples import attempt, group, row
from helpers.shapes import tiny
from torch import Tensor

from whet.engines.native import Native
from whet.models.tiny import ASCII
from whet.rewards.ending import Ending
from whet.rewards.verified import Verified
from whet.rollouts.chunked import Chunked
from whet.scoring import Weighted
from whet.types import Decoding, Problem, Trajectory


@dataclass(frozen=True)
class Says:
    """A processor that allows one text and then EOS (1), also where a context begins amid it. The prompt has one token,
    and of a stretch that comes twice the first place counts."""

    ids: tuple[int, ...]

    def __call__(self, tokens: Tensor, logits: Tensor) -> Tensor:
        row = tuple(tokens[1:].tolist())
        done = next(i for i in range(len(self.ids)) if self.ids[i : i + len(row)] == row) + len(row)
        following = self.ids[done] if done < len(self.ids) else 1
        return logits.masked_fill(torch.arange(len(logits)) != following, -torch.inf)


def said(text: str, full: int, carry: int, chunks: int = 9) -> Trajectory:
    policy = Native(tiny(alphabet=ASCII))
    says = Says(tuple(policy.codec.tokenizer.encode(text)))
    rollout = Chunked(carry, chunks, group=1, decoding=Decoding(max_tokens=full, processors=(says,)))
    (found,) = asyncio.run(rollout({"policy": policy}, Problem("p", "?", "42"), 0))
    return found.trajectories[0]


def values(term: Any, *attempts: Trajectory) -> list[float]:
    scored = asyncio.run(Weighted({"correct": term})({}, group(*attempts)))
    return scored.terms["correct"].tolist()


def test_an_answer_begun_before_the_reset_counts_where_it_was_carried_over():
    """Characters: the reset falls between the 4 and the 2."""
    trace = said("abcd<answer>42</answer>", full=6, carry=3)
    assert [turn.text for turn in trace.turns if turn.role == "policy"][:2] == ["abcd<answer>4", "2</answer>"]
    assert trace.info["ending"] == "d<answer>42</answer>" and trace.stop == "eos"
    assert values(Ending(), trace) == [1.0]
    boxed = said("so it is \\boxed{42}", full=17, carry=10)  # the same with a box; joined turns would say "4\\n2"
    assert boxed.turns[1].text.endswith("4")
    assert values(Ending(Verified("exact", "boxed")), boxed) == [1.0]
    assert values(Verified("exact", "boxed"), boxed) == [0.0]


def test_an_answer_that_was_left_behind_does_not():
    trace = said("<answer>42</answer>abcdefghijklm", full=8, carry=3)
    assert trace.stop == "eos" and "answer" not in trace.info["ending"]
    assert values(Ending(), trace) == [0.0]
    assert values(Verified(), trace) == [1.0]


def test_no_answer_within_the_chunks_is_worth_nothing():
    trace = said("abcdefghijklmnop<answer>42</answer>", full=8, carry=3, chunks=2)
    assert trace.stop == "length" and len(trace.rows) == 2
    scored = asyncio.run(Weighted({"correct": Ending()})({}, group(trace)))
    assert scored.terms["correct"].tolist() == [0.0] and scored.outcomes["correct"] == ("unparseable",)


def test_an_answer_in_the_prompt_is_none():
    policy = Native(tiny(alphabet=ASCII))
    problem = Problem("p", "say <answer>42</answer>", "42")
    rollout = Chunked(1, 2, group=1, decoding=Decoding(max_tokens=3))
    (found,) = asyncio.run(rollout({"policy": policy}, problem, 0))
    assert values(Ending(), *found.trajectories) == [0.0]


def test_an_attempt_without_an_ending_is_judged_as_it_is():
    plain = attempt(row([5, 6, 7], [0, 1, 1]), text="<answer>1</answer>")
    assert values(Ending(), plain) == [1.0]
    assert values(Ending(), replace(plain, info={"ending": "<answer>2</answer>"})) == [0.0]


def test_values_per_token_stay_on_their_tokens():
    def each(g: Any) -> list[Tensor]:
        return [torch.arange(float(sum(len(r) for r in t.rows))) for t in g.trajectories]

    two = attempt(row([5, 6], [0, 1]), row([5, 6, 7], [0, 1, 1]), info={"ending": "x"})
    value = Ending(each)(group(two))
    assert not isinstance(value, Awaitable) and value[0].tolist() == [0, 1, 2, 3, 4]


def test_the_group_is_left_as_it_was():
    one = attempt(row([5, 6], [0, 1]), text="<answer>1</answer>", info={"ending": "x"})
    before = one.turns
    assert values(Ending(), one) == [0.0]
    assert one.turns is before


def test_a_term_that_fails_is_named():
    def broken(g: Any) -> Tensor:
        raise KeyError("no")

    with pytest.raises(ValueError, match="raised KeyError"):
        values(Ending(broken), attempt(row([5, 6], [0, 1])))
