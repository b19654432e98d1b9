"""Generalised advantage estimation over what was trained on."""

import pytest
import torch
from helpers.examples import attempt, group, row, scored

from whet.advantages.gae import GAE
from whet.types import Scored, joined

# Two rows; environment tokens stand between sampled ones.
TOOLS = attempt(
    row([1, 2, 3, 4, 5, 6], [0, 1, 1, 0, 0, 1]),
    row([7, 8], [0, 1]),
    tracks={"values": torch.tensor([9.0, 0.5, 0.2, 9.0, 9.0, 0.4, 9.0, 0.1])},
)
ZERO = attempt(*TOOLS.rows, tracks={"values": torch.zeros(8)})


def test_without_discount_and_values_the_outcome_is_every_advantage() -> None:
    credit = GAE()([scored(group(ZERO), [1.0])])
    assert credit.advantages[0][0].tolist() == [0, 1, 1, 0, 0, 1, 0, 1]
    assert credit.targets is not None
    assert credit.targets[0][0].tolist() == [0, 1, 1, 0, 0, 1, 0, 1]


def naive(rewards: list[float], values: list[float], discount: float, trace: float) -> list[float]:
    """sum_l (discount trace)^l delta_{k+l}, written as the double sum."""
    ends = [*values, 0.0]
    deltas = [rewards[k] + discount * ends[k + 1] - values[k] for k in range(len(values))]
    return [sum((discount * trace) ** (j - k) * deltas[j] for j in range(k, len(values))) for k in range(len(values))]


@pytest.mark.parametrize(("discount", "trace"), [(1.0, 1.0), (0.9, 0.8), (0.99, 0.0), (0.0, 1.0)])
def test_environment_tokens_are_skipped(discount: float, trace: float) -> None:
    rewards = torch.tensor([0, 0.1, 0.2, 0, 0, 0.3, 0, 1.0])
    credit = GAE(discount, trace)([Scored(group(TOOLS), (rewards,))])
    values = [0.5, 0.2, 0.4, 0.1]
    expected = naive([0.1, 0.2, 0.3, 1.0], values, discount, trace)
    on = joined(TOOLS, "trained")
    assert credit.advantages[0][0][on].tolist() == pytest.approx(expected, abs=1e-6)
    assert credit.targets is not None
    assert credit.targets[0][0][on].tolist() == pytest.approx(
        [a + v for a, v in zip(expected, values, strict=True)], abs=1e-6
    )
    assert not credit.advantages[0][0][~on].any()


def test_a_reward_on_an_environment_token_belongs_to_the_action_before_it() -> None:
    late = torch.tensor([0, 0, 0, 0, 1.0, 0, 0, 0])
    early = torch.tensor([0, 0, 1.0, 0, 0, 0, 0, 0])
    one, two = (GAE(0.5, 0.5)([Scored(group(ZERO), (r,))]).advantages[0][0].tolist() for r in (late, early))
    assert one == two
    assert one == [0, 0.25, 1, 0, 0, 0, 0, 0]


def test_whitening_leaves_the_targets_alone() -> None:
    groups = [scored(group(TOOLS, ZERO), [1.0, 0.0])]
    plain, white = GAE()(groups), GAE(whiten=True)(groups)
    flat = torch.cat([x[joined(TOOLS, "trained")] for x in white.advantages[0]])
    assert flat.mean().item() == pytest.approx(0, abs=1e-6)
    assert flat.std(unbiased=False).item() == pytest.approx(1, abs=1e-5)
    assert plain.targets is not None
    assert white.targets is not None
    assert torch.equal(plain.targets[0][0], white.targets[0][0])


def test_a_missing_track_names_the_remedy() -> None:
    with pytest.raises(ValueError, match="Values"):
        GAE()([scored(group(attempt(row([1, 2], [0, 1]))), [1.0])])
    with pytest.raises(ValueError, match="trace"):
        GAE(trace=1.5)
