import math
from dataclasses import replace

import pytest
import torch
from helpers.examples import attempt, group, row, scored
from hypothesis import given
from hypothesis import strategies as st

from whet.batching import collate, microbatches, minibatches, supervised
from whet.types import Batch, Credit


def _batch(groups: list[list[list[int]]]) -> Batch:
    """Groups of attempts, given as lists of row lengths."""
    scored_P = []
    for p, attempts in enumerate(groups):
        made = [attempt(*(row(range(n), [0] + [1] * (n - 1)) for n in lengths), problem=str(p)) for lengths in attempts]
        scored_P.append(scored(group(*made, slot=p), [0.0] * len(made)))
    credit = Credit([[torch.ones(sum(lengths)) for lengths in attempts] for attempts in groups])
    return collate(scored_P, credit)


def test_rows_are_padded_on_the_right() -> None:
    batch = _batch([[[3], [2, 4]]])
    assert batch.tokens.tolist() == [[0, 1, 2, 0], [0, 1, 0, 0], [0, 1, 2, 3]]
    assert batch.valid.sum(1).tolist() == [3, 2, 4]
    assert batch.trained.tolist()[0] == [False, True, True, False]
    assert batch.trajectory.tolist() == [0, 1, 1]
    assert batch.group.tolist() == [0, 0, 0]


def test_credit_over_rows_end_to_end_is_cut_at_the_rows() -> None:
    two = attempt(row([1, 2], [0, 1]), row([3, 4, 5], [0, 1, 1]))
    batch = collate([scored(group(two), [1.0])], Credit([[torch.arange(5.0)]], [[torch.arange(5.0) * 10]]))
    assert batch.advantages.tolist() == [[0, 1, 0], [2, 3, 4]]
    assert batch.targets is not None
    assert batch.targets.tolist() == [[0, 10, 0], [20, 30, 40]]


def test_a_row_without_trained_tokens_has_nothing_to_learn() -> None:
    two = attempt(row([1, 2], [0, 0]), row([3, 4], [0, 1]))
    assert len(collate([scored(group(two), [1.0])], Credit([[torch.zeros(4)]]))) == 1


def test_kept_mass_turns_log_probs_into_those_of_the_truncated_distribution() -> None:
    made = attempt(
        replace(row([1, 2], [0, 1], logprob=-2.0), truncated=True), tracks={"log_kept": torch.tensor([0, -1.0])}
    )
    batch = collate([scored(group(made), [1.0])], Credit([[torch.zeros(2)]]))
    assert batch.logprobs.tolist() == [[0.0, -1.0]]


def test_truncated_sampling_without_its_kept_mass_can_not_be_trained_on() -> None:
    made = attempt(replace(row([1, 2], [0, 1]), truncated=True))
    with pytest.raises(ValueError, match="kept mass"):
        collate([scored(group(made), [1.0])], Credit([[torch.zeros(2)]]))


def test_greedy_tokens_can_not_be_trained_on() -> None:
    made = attempt(replace(row([1, 2], [0, 1]), temperature=0.0))
    with pytest.raises(ValueError, match="greedy"):
        collate([scored(group(made), [1.0])], Credit([[torch.zeros(2)]]))


def test_a_track_that_one_group_lacks_is_an_error() -> None:
    with_track = attempt(row([1, 2], [0, 1]), tracks={"reference": torch.zeros(2)})
    without = attempt(row([1, 2], [0, 1]))
    groups = [scored(group(with_track), [1.0]), scored(group(without, name="demonstration"), [1.0])]
    with pytest.raises(ValueError, match=r"'demonstration' has no track \"reference\""):
        collate(groups, Credit([[torch.zeros(2)], [torch.zeros(2)]]))


def test_a_supervised_batch_has_advantage_one_on_what_is_imitated() -> None:
    batch = supervised([attempt(row([1, 2, 3], [0, 1, 1]))])
    assert batch.advantages.tolist() == [[0, 1, 1]]
    assert batch.name == ("demonstration",)


def test_every_row_has_the_terms_of_its_attempt() -> None:
    """Three attempts, the first in two rows, the second with nothing to train on."""
    rows, none = [row([1, 2], [0, 1]), row([3, 4, 5], [0, 1, 1])], row([1, 2], [0, 0])
    first = replace(
        scored(group(attempt(*rows), attempt(none), attempt(rows[0])), [0.5, 9.0, 1.5]),
        terms={"correct": torch.tensor([0.5, 9.0, 1.5]), "short": torch.tensor([1.0, 9.0, math.nan])},
    )
    other = scored(group(attempt(rows[0])), [2.0])
    batch = collate([first, other], Credit([[torch.zeros(5), torch.zeros(2), torch.zeros(2)], [torch.zeros(2)]]))
    assert batch.terms["correct"].tolist() == [0.5, 0.5, 1.5, 2.0]
    assert batch.terms["short"].nan_to_num(-1.0).tolist() == [1, 1, -1, -1]
    assert batch.rows([3, 0]).terms["correct"].tolist() == [2.0, 0.5]
    assert batch.of("policy").terms["correct"].tolist() == batch.terms["correct"].tolist()
    assert collate([], Credit([])).terms == supervised([attempt(rows[0])]).terms == {}


def test_an_empty_batch_has_no_rows() -> None:
    assert len(collate([], Credit([]))) == 0
    assert len(_batch([[[3]]]).of("somebody")) == 0


GROUPS = st.lists(
    st.lists(st.lists(st.integers(2, 9), min_size=1, max_size=3), min_size=1, max_size=3), min_size=1, max_size=5
)


@given(GROUPS, st.integers(1, 6), st.integers(0, 2**30))
def test_minibatches_are_whole_groups_and_lose_nothing(groups: list[list[list[int]]], count: int, seed: int) -> None:
    batch = _batch(groups)
    parts = minibatches(batch, count, seed)
    assert sorted(i for part in parts for i in part) == list(range(len(batch)))
    assert len(parts) == min(count, len(groups))
    owners = [{int(batch.group[i]) for i in part} for part in parts]
    assert sum(len(o) for o in owners) == len(set.union(*owners)) == len(groups)


@given(GROUPS, st.integers(1, 60))
def test_microbatches_keep_trajectories_whole_and_within_the_limit(groups: list[list[list[int]]], tokens: int) -> None:
    batch = _batch(groups)
    parts = microbatches(batch, tokens)
    assert sorted(i for part in parts for i in part) == list(range(len(batch)))
    owners = [{int(batch.trajectory[i]) for i in part} for part in parts]
    assert sum(len(o) for o in owners) == len(set.union(*owners))
    lengths = batch.valid.sum(1)
    for part, owner in zip(parts, owners, strict=True):
        assert len(owner) == 1 or len(part) * int(lengths[part].max()) <= tokens


@given(GROUPS, st.integers(1, 60))
def test_packed_microbatches_count_what_siblings_share_once(groups: list[list[list[int]]], tokens: int) -> None:
    batch = _batch(groups)
    parts = microbatches(batch, tokens, packed=True)
    assert sorted(i for part in parts for i in part) == list(range(len(batch)))
    owners = [{int(batch.trajectory[i]) for i in part} for part in parts]
    assert sum(len(o) for o in owners) == len(set.union(*owners))
    lengths = batch.valid.sum(1).tolist()
    rows = [row[:n].tolist() for row, n in zip(batch.tokens, lengths, strict=True)]
    for part, owner in zip(parts, owners, strict=True):
        nodes = {tuple(rows[i][:t]) for i in part for t in range(1, len(rows[i]) + 1)}
        assert len(owner) == 1 or len(nodes) <= tokens
    if tokens >= sum(lengths):
        assert len(parts) == 1
