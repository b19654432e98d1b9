"""What a token-level reward model says of a reply's tokens."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from helpers.examples import attempt, group, row
from hypothesis import given
from hypothesis import strategies as st

from whet.tracks.token_weights import TokenWeights, belief_so_far, largest, rescaled
from whet.types import Trajectory

ALL = torch.ones(2, dtype=torch.bool)


@dataclass
class Told:
    """A model that gives each row the values it was told, entry t for the state before token t."""

    values: list[list[float]]

    async def score(self, rows: Any, want: Any = ("values",)) -> list[dict[str, torch.Tensor]]:
        assert want == ("values",)
        return [{"values": torch.tensor(v)} for v in self.values]


def weighed(values: list[list[float]], *attempts: Trajectory, **more: Any) -> list[dict[str, list[float]]]:
    models: Any = {"scorer": Told(values)}
    (found,) = asyncio.run(TokenWeights(**more)(models, [group(*attempts)]))
    return [{name: track.tolist() for name, track in t.tracks.items()} for t in found.trajectories]


def test_a_threshold_of_a_half_rescales_to_zero_and_one() -> None:
    assert rescaled(torch.tensor([0.8, 0.5, 0.4, 1.0]), 0.5).tolist() == pytest.approx([0.6, 0, 0, 1])


def test_scores_2_and_minus_2_by_hand() -> None:
    p = belief_so_far(torch.tensor([2.0, -2.0]), ALL)
    assert p.tolist() == pytest.approx([0.880797, 0.5], abs=1e-6)
    assert rescaled(p, 0.5).tolist() == pytest.approx([0.761594, 0.0], abs=1e-6)
    assert rescaled(1 - p, 0.5).tolist() == [0, 0]


def test_the_score_of_a_token_is_the_value_once_it_has_been_read() -> None:
    """Of a prompt of two and a reply of three tokens: values before tokens 2, 3, 4 are 9, 2, -2. The prompt's, 9, is no
    score; the last token has the belief of the one before it."""
    (found,) = weighed([[0, 7, 9, 2, -2]], attempt(row([1, 2, 3, 4, 5], [0, 0, 1, 1, 1])))
    assert found["weight/belief"] == pytest.approx([0, 0, 0.880797, 0.5, 0.5], abs=1e-6)
    assert found["weight/right"] == pytest.approx([0, 0, 0.761594, 0, 0], abs=1e-6)
    assert found["weight/wrong"] == [0] * 5
    assert set(found) == {"weight/belief", "weight/right", "weight/wrong"}


def test_the_mean_runs_over_trained_tokens_only_and_on_through_rows() -> None:
    """Token 3 is the environment's. Scores: 2 and 4 in the first row, 0 in the second."""
    one = attempt(row([1, 2, 3, 4, 5], [0, 1, 1, 0, 1]), row([1, 2, 3], [0, 1, 1]))
    (found,) = weighed([[0, 9, 2, 99, 4], [0, 9, 0]], one)
    expected = torch.tensor([2.0, 3, 3, 2, 2]).sigmoid().tolist()
    belief = found["weight/belief"]
    assert [belief[i] for i in (1, 2, 4, 6, 7)] == pytest.approx(expected, abs=1e-6)
    assert [belief[i] for i in (0, 3, 5)] == [0, 0, 0]


def test_a_reply_of_one_token_and_one_of_none_weigh_nothing() -> None:
    one, two = weighed([[0, 5], [0, 5]], attempt(row([1, 2], [0, 1])), attempt(row([1, 2], [0, 0])))
    assert one["weight/belief"] == [0, 0.5] and one["weight/right"] == one["weight/wrong"] == [0, 0]
    assert two["weight/belief"] == [0, 0]


def test_a_new_head_gives_no_weight_to_anything() -> None:
    (found,) = weighed([[0.0] * 4], attempt(row([1, 2, 3, 4], [0, 1, 1, 1])))
    assert found["weight/belief"] == [0, 0.5, 0.5, 0.5]
    assert found["weight/right"] == found["weight/wrong"] == [0] * 4


def test_the_top_half_is_scaled_between_the_attempts_extremes() -> None:
    assert largest(torch.tensor([0.2, 0.6, 0.4, 1.0]), 0.5).tolist() == pytest.approx([0, 0.5, 0, 1])
    assert largest(torch.tensor([0.2, 0.6, 0.6, 1.0]), 0.5).tolist() == pytest.approx([0, 0.5, 0.5, 1])
    assert largest(torch.tensor([0.3, 0.3]), 0.5).tolist() == [0, 0]
    assert largest(torch.zeros(0), 0.5).tolist() == []
    (found,) = weighed([[0, 0, 2, -2, 0]], attempt(row([1, 2, 3, 4, 5], [0, 1, 1, 1, 1])), top=0.25)
    assert found["weight/right"] == [0, 1, 0, 0, 0]
    assert found["weight/wrong"] == pytest.approx([0, 0, 1, 1, 1])


@given(st.lists(st.floats(-20, 20), min_size=1, max_size=9))
def test_no_token_has_both_weights_and_all_lie_in_zero_to_one(scores: list[float]) -> None:
    p = belief_so_far(torch.tensor(scores), torch.ones(len(scores), dtype=torch.bool))
    plus, minus = rescaled(p, 0.5), rescaled(1 - p, 0.5)
    assert not (plus * minus).any()
    assert bool(((plus >= 0) & (plus <= 1) & (minus >= 0) & (minus <= 1)).all())


@pytest.mark.parametrize("more", [{"threshold": 1.0}, {"threshold": -0.1}, {"top": 0.0}, {"top": 1.5}])
def test_numbers_out_of_range_are_refused(more: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"TokenWeights.{next(iter(more))}"):
        TokenWeights(**more)


def test_an_unknown_model_is_named() -> None:
    with pytest.raises(ValueError, match="scorer"):
        asyncio.run(TokenWeights()({}, [group(attempt(row([1, 2], [0, 1])))]))
