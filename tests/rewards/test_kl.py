"""KL as a reward per token."""

import math

import pytest
import torch
from helpers.examples import attempt, group, row

from whet.rewards.kl import KLPenalty

HALF = math.log(0.5)


def of(reference: list[float]):
    return group(attempt(row([1, 2, 3], [0, 1, 1], logprob=HALF), tracks={"reference": torch.tensor(reference)}))


@pytest.mark.parametrize(
    ("kind", "value"),
    [("k1", math.log(2)), ("k2", -(math.log(2) ** 2) / 2), ("k3", -(2 - math.log(2) - 1))],
)
def test_the_three_estimates_where_the_reference_is_twice_as_likely(kind, value: float) -> None:
    found = KLPenalty(kind)(of([math.nan, HALF + math.log(2), HALF]))
    assert found[0].tolist() == pytest.approx([0, value, 0], abs=1e-6)


def test_no_distance_costs_nothing() -> None:
    assert KLPenalty()(of([0.0, HALF, HALF]))[0].tolist() == [0, 0, 0]


def test_k1_is_the_reference_minus_the_policy() -> None:
    """Tokens the policy likes more than the reference are punished."""
    assert KLPenalty()(of([0, HALF - 1, HALF]))[0].tolist() == pytest.approx([0, -1, 0])


def test_a_missing_track_names_the_remedy() -> None:
    with pytest.raises(ValueError, match="Logprobs"):
        KLPenalty(track="teacher")(of([0, 0, 0]))
    with pytest.raises(ValueError, match="kind"):
        KLPenalty("k4")  # type: ignore[arg-type]
