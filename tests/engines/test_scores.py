"""Scores of whole rows: packed or padded, alone or in company, each row's are the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from helpers.examples import row
from helpers.model_small import shaken
from torch import Tensor

from whet.engines.scores import batches, scores
from whet.models.lm import LM
from whet.models.tiny import TinyQwen
from whet.types import Row, Want

EVERYTHING: tuple[Want, ...] = ("logprobs", "entropy", "values", "hidden")
SHARED = ([7, 8, 9, 10, 11], [7, 8, 9, 12], [7, 8, 9, 10, 11, 13, 14], [20, 21], [7, 8, 9, 12])


@pytest.fixture
def lm() -> LM:
    made = shaken(TinyQwen(width=32, layers=2, context=64)).add_value_head()
    assert made.value_head is not None
    torch.nn.init.normal_(made.value_head.weight, generator=torch.Generator().manual_seed(1))
    return made


def rows(*lines: Sequence[int], temperature: float = 1.0) -> list[Row]:
    return [replace(row(ids, [1] * len(ids)), temperature=temperature) for ids in lines]


def said(lm: LM, asked: Sequence[Row]) -> list[dict[str, Tensor]]:
    found = {}
    for batch in batches(asked):
        found.update(zip(batch, scores(lm, [asked[i] for i in batch], EVERYTHING), strict=True))
    return [found[i] for i in range(len(asked))]


def agree(some: Sequence[dict[str, Tensor]], others: Sequence[dict[str, Tensor]]) -> None:
    for one, other in zip(some, others, strict=True):
        assert set(one) == set(other) == set(EVERYTHING)
        for name in EVERYTHING:
            torch.testing.assert_close(one[name], other[name], atol=1e-5, rtol=1e-5)


def test_rows_with_a_common_beginning_are_scored_as_each_is_alone(lm: LM) -> None:
    asked = rows(*SHARED, [30], temperature=1.3)
    agree(said(lm, asked), [said(lm, [one])[0] for one in asked])


def test_packed_and_padded_rows_say_the_same(lm: LM) -> None:
    asked = rows(*SHARED)
    assert lm.packs
    packed = said(lm, asked)
    lm.__dict__["packs"] = False
    agree(packed, said(lm, asked))


def test_rows_of_several_temperatures_get_each_its_own(lm: LM) -> None:
    asked = [*rows(*SHARED, temperature=0.5), *rows(*SHARED), *rows(*SHARED, temperature=0.0)]
    both = said(lm, asked)
    agree(both[:5], said(lm, rows(*SHARED, temperature=0.5)))
    agree(both[5:10], said(lm, rows(*SHARED)))
    agree(both[10:], both[5:10])  # greedy rows: at temperature 1
    assert (both[0]["logprobs"] - both[5]["logprobs"]).abs().max() > 1e-2


def test_a_common_beginning_is_read_once(lm: LM, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    whole = LM.packed
    assert lm.packs
    monkeypatch.setattr(LM, "packed", lambda self, packing, *a: seen.append(len(packing)) or whole(self, packing, *a))
    said(lm, rows(*SHARED))
    assert seen == [len({tuple(line[:n]) for line in SHARED for n in range(1, len(line) + 1)})]


def test_rows_that_are_scored_do_not_share_their_numbers(lm: LM) -> None:
    first, second = scores(lm, rows([7, 8, 9], [7, 8, 9]), ["logprobs"])
    first["logprobs"][2] = 5.0
    assert second["logprobs"][2] < 0


def test_batches_keep_the_order_and_hold_so_many_tokens_at_most() -> None:
    asked = rows(*([list(range(1, 1001))] * 20), [1, 2])
    found = list(batches(asked))
    assert [i for batch in found for i in batch] == list(range(21))
    assert [len(batch) for batch in found] == [16, 5]
