import asyncio
import math

import pytest
import torch
from helpers.examples import attempt, group, row, scored

from whet.scoring import Weighted, judged, last_trained, totals
from whet.types import Group, Judged, Scored, TermValue

TWO = group(attempt(row([1, 2, 3], [0, 1, 1])), attempt(row([1, 2, 3, 4], [0, 1, 1, 0])))


def _score(reward: Weighted, g: Group = TWO) -> Scored:
    return asyncio.run(reward({}, g))  # type: ignore[arg-type]


def test_an_outcome_falls_on_the_last_trained_token() -> None:
    found = _score(Weighted({"correct": lambda g: torch.tensor([1.0, 2.0])}))
    assert [r.tolist() for r in found.rewards] == [[0, 0, 1], [0, 0, 2, 0]]


def test_terms_are_weighted_and_kept_apart() -> None:
    reward = Weighted({"a": lambda g: torch.tensor([1.0, 0.0]), "b": lambda g: torch.tensor([2.0, 2.0])}, {"b": 0.5})
    found = _score(reward)
    assert totals(found).tolist() == [2.0, 1.0]
    assert found.terms["b"].tolist() == [2.0, 2.0]


def test_a_gated_term_counts_only_where_its_gate_is_open() -> None:
    reward = Weighted(
        {"correct": lambda g: torch.tensor([1.0, 0.0]), "short": lambda g: torch.tensor([0.5, 0.5])},
        gates={"short": "correct"},
    )
    assert totals(_score(reward)).tolist() == [1.5, 0.0]


def test_a_term_may_speak_of_every_token_and_be_a_coroutine() -> None:
    async def dense(g: Group) -> TermValue:
        return [torch.tensor([0.0, 1.0, 2.0]), torch.ones(4)]

    assert [r.tolist() for r in _score(Weighted({"dense": dense})).rewards] == [[0, 1, 2], [1, 1, 1, 1]]


def test_no_verdict_leaves_the_group_and_is_not_a_zero() -> None:
    found = _score(Weighted({"correct": lambda g: Judged(torch.tensor([math.nan, 1.0]), ("failed", "right"))}))
    assert totals(found)[0].isnan()
    assert found.outcomes["correct"] == ("failed", "right")
    (left,) = judged([found])
    assert totals(left).tolist() == [1.0]
    assert left.outcomes["correct"] == ("right",)
    assert len(left.group.trajectories) == 1


def test_how_long_verdicts_took_is_kept_and_leaves_with_its_attempt() -> None:
    found = _score(Weighted({"a": lambda g: Judged(torch.tensor([math.nan, 1.0]), ("failed", "right"), (0.5, 0.25))}))
    assert found.seconds == {"a": (0.5, 0.25)}
    (left,) = judged([found])
    assert left.seconds == {"a": (0.25,)} and left.outcomes == {"a": ("right",)}
    assert _score(Weighted({"a": lambda g: torch.ones(2)})).seconds == {}


def test_a_term_of_weight_zero_is_measured_but_does_not_count() -> None:
    found = _score(Weighted({"a": lambda g: torch.tensor([math.nan, 3.0])}, {"a": 0.0}))
    assert totals(found).tolist() == [0.0, 0.0]
    assert found.terms["a"][1] == 3


def test_a_failed_task_leaves_the_group_too() -> None:
    from dataclasses import replace

    failed = replace(TWO.trajectories[0], stop="error")
    g = replace(TWO, trajectories=(failed, TWO.trajectories[1]))
    assert len(judged([scored(g, [0.0, 1.0])])[0].group.trajectories) == 1
    assert judged([scored(group(failed), [0.0])]) == []


@pytest.mark.parametrize(
    ("term", "says"),
    [
        (lambda g: 1 / 0, "reward 'mine' on problem 'p' raised ZeroDivisionError"),
        (lambda g: [1.0], "gave 1 values for 2 attempts"),
        (lambda g: ["good", "bad"], "gave 'good', which is no number"),
        (lambda g: [math.inf, 0.0], "gave inf; a reward must be finite"),
        (lambda g: None, "gave NoneType, expected 2 numbers"),
        (lambda g: [torch.ones(2), torch.ones(4)], r"gave shape \(2,\) for an attempt of 3 tokens"),
    ],
)
def test_a_broken_reward_is_an_error_that_names_it(term: object, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        _score(Weighted({"mine": term}))  # type: ignore[dict-item]


def test_a_weight_for_no_term_is_refused() -> None:
    with pytest.raises(ValueError, match="'lenght'"):
        Weighted({"length": lambda g: torch.zeros(1)}, {"lenght": 1.0})


def test_without_trained_tokens_the_reward_falls_on_the_last_one() -> None:
    assert last_trained(attempt(row([1, 2], [0, 0]))) == 1
    assert last_trained(attempt(row([1, 2, 3], [1, 0, 0]), row([4, 5], [0, 0]))) == 0
